"""Turns judged samples of the policy into rows with signed weights: more of what did well."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from exante import supervision
from exante.objectives import control
from exante.records import write_json, write_jsonl
from exante.stages.base import (
    Config,
    Inputs,
    Stage,
    Summary,
    Tell,
    document_of,
    model_of,
    point_at,
)
from exante.stages.judge import judged_of
from exante.stages.shape import ROWS

_MULTIPLIER = "multiplier.json"


class ReinforceConfig(Config):
    """How much an unsafe turn weighs against a useful one."""

    multiplier: float = Field(default=1.0, ge=0)
    """Weight of cost in the first round (lambda)."""
    rate: float = Field(default=1.0, ge=0)
    """How much the multiplier grows per unit of mean cost and round."""
    highest: float = Field(default=5.0, ge=0)
    """The multiplier never exceeds this; a rectified cost alone would never let it fall."""


def run(config: ReinforceConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the rows, and the multiplier after this round's mean cost."""
    place = inputs.one("judged")
    turns = judged_of(place)
    multiplier = multiplier_of(inputs.optional("last"), config.multiplier)
    made = supervision.signed(turns, multiplier)
    cost = supervision.mean_cost(turns)
    after = control.rectified(multiplier, cost, rate=config.rate, cap=config.highest)
    write_jsonl(out / ROWS, made.rows)
    write_json(out / _MULTIPLIER, {"after": after})
    point_at(model_of(place), out)
    return {
        "rows": len(made.rows),
        "multiplier": multiplier,
        "mean_cost": round(cost, 4),
        **made.counts,
    }


def multiplier_of(last: Path | None, first: float) -> float:
    """The multiplier that the round before left; `first` where there was none.

    Raises:
        ArtefactError: the folder is that of another stage.
    """
    if last is None:
        return first
    return float(document_of(last, _MULTIPLIER, fix="name a reinforce step")["after"])


STAGE = Stage("reinforce", 2, ReinforceConfig, run, reads=("judged",), optional=("last",))
