"""Writes a cost model's costs onto judged turns; verdicts stay the judge's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from exante.errors import InputError
from exante.records import Judged, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.cost import readings
from exante.stages.judge import JUDGED
from exante.stages.judges import open_cost_model
from exante.stages.prompts import Split

_TOGETHER = 256
"""Turns given to a cost model between two words of progress."""


class LabelConfig(Config):
    """Which prompts the turns answer."""

    split: Split = "train"
    """Split of the prompts; ignored for prompts that have only one list."""


def run(config: LabelConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write every turn that the cost model can read, with its cost.

    Raises:
        InputError: it can read none.
    """
    model = open_cost_model(inputs.one("costs"))
    read = readings(inputs, config.split)
    found: list[Judged] = []
    for start in range(0, len(read), _TOGETHER):
        part = read[start : start + _TOGETHER]
        costs = model.costs([(one.example.messages, one.answer) for one in part])
        found += [
            _priced(one.turn, cost)
            for one, cost in zip(part, costs, strict=True)
            if cost is not None
        ]
        tell(start + len(part), len(read), "turns")
    if not found:
        raise InputError(
            "no turn can be read by the cost model",
            where=str(inputs.one("judged")),
            fix="look at the summary of the judge step: turns need a finished answer",
        )
    write_jsonl(out / JUDGED, found)
    point_at(model_of(inputs.one("judged")), out)
    return {
        "turns": len(found),
        "sources": dict(Counter(turn.generation.source for turn in found)),
        "unsafe": sum((turn.judgement.cost or 0.0) > 0 for turn in found),
    }


def _priced(turn: Judged, cost: float) -> Judged:
    """The turn with its cost."""
    return turn.model_copy(update={"judgement": turn.judgement.model_copy(update={"cost": cost})})


STAGE = Stage("label", 1, LabelConfig, run, reads=("judged", "prompts", "costs"))
