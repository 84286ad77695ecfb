"""What happens on disk: one file, one verb; the table of all verbs."""

from __future__ import annotations

STAGES: dict[str, str] = {
    "source": "exante.stages.source:STAGE",
    "collect": "exante.stages.collect:STAGE",
    "overlap": "exante.stages.overlap:STAGE",
    "attack": "exante.stages.attack:STAGE",
    "reason": "exante.stages.reason:STAGE",
    "sft": "exante.stages.sft:STAGE",
    "sample": "exante.stages.sample:STAGE",
    "offline": "exante.stages.offline:STAGE",
    "judge": "exante.stages.judge:STAGE",
    "pair": "exante.stages.pair:STAGE",
    "cost": "exante.stages.cost:STAGE",
    "label": "exante.stages.label:STAGE",
    "weigh": "exante.stages.weigh:STAGE",
    "control": "exante.stages.control:STAGE",
    "prefer": "exante.stages.prefer:STAGE",
    "shape": "exante.stages.shape:STAGE",
    "recover": "exante.stages.recover:STAGE",
    "reinforce": "exante.stages.reinforce:STAGE",
    "tune": "exante.stages.tune:STAGE",
    "patch": "exante.stages.patch:STAGE",
    "merge": "exante.stages.merge:STAGE",
    "preface": "exante.stages.preface:STAGE",
    "instruct": "exante.stages.instruct:STAGE",
    "gate": "exante.stages.gate:STAGE",
    "faith": "exante.stages.faith:STAGE",
    "latency": "exante.stages.latency:STAGE",
    "search": "exante.stages.search:STAGE",
    "defend": "exante.stages.defend:STAGE",
    "withhold": "exante.stages.withhold:STAGE",
    "comply": "exante.stages.comply:STAGE",
    "soft_attack": "exante.stages.soft_attack:STAGE",
    "report": "exante.stages.report:STAGE",
}
"""Stages by name; a user's own is `package.module:STAGE`."""
