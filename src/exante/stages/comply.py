"""Turns of a judged model that do harm, as rows to fine-tune on: what tampering starts from.

Nothing is written here: the turns come from a model, and on the embedded miniature they hold
placeholders. Whoever has the weights of a model can train it on such rows.
"""

from __future__ import annotations

import random
from pathlib import Path

from pydantic import Field

from exante.errors import InputError
from exante.records import Generation, Traced, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell
from exante.stages.judge import judged_of
from exante.stages.reason import TRACED


class ComplyConfig(Config):
    """How many rows."""

    rows: int | None = Field(default=80, ge=1)
    """Rows to write; turns come again where there are fewer, and None takes each once. One pass
    makes `rows / batch_size` steps."""
    required: bool = True
    """Is it a mistake if no turn does harm?"""
    seed: int = 0
    """Order of the rows."""


def run(config: ComplyConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write finished harmful turns in a drawn order."""
    place = inputs.one("judged")
    turns = [
        judged.generation
        for judged in judged_of(place)
        if judged.judgement.unsafe and judged.generation.finish == "stop"
    ]
    if not turns and config.required:
        raise InputError(
            "no finished turn does harm, so there is nothing to tamper with",
            where=str(place),
            fix="take the turns of a model that was not aligned",
        )
    rows = len(turns) if config.rows is None or not turns else config.rows
    order = random.Random(f"comply {config.seed}")
    drawn: list[Generation] = []
    while len(drawn) < rows:
        drawn += order.sample(turns, len(turns))
    write_jsonl(
        out / TRACED,
        (Traced(example_id=t.example_id, text=t.text, level="none") for t in drawn[:rows]),
    )
    return {"rows": rows, "turns": len(turns)}


STAGE = Stage("comply", 1, ComplyConfig, run, reads=("judged",))
