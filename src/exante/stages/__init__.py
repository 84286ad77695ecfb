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
    "judge": "exante.stages.judge:STAGE",
    "pair": "exante.stages.pair:STAGE",
    "prefer": "exante.stages.prefer:STAGE",
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
