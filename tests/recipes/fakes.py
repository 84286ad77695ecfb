"""Stages that write numbers instead of training, and who hears of them, to perform recipes with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exante.records import write_json
from exante.stages.base import Config, Inputs, Stage, Tell


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.finished_steps: list[tuple[str, bool]] = []

    def started(self, name: str, stage: str) -> None:
        """Nothing to keep."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Nothing to keep."""

    def finished(self, name: str, seconds: float, reused: bool) -> None:
        """Keep the order."""
        self.finished_steps.append((name, reused))


class Number(Config):
    """Settings of the fake stages."""

    add: int = 0
    limit: int = 1000


def value_of(folder: Path | dict[str, Path]) -> int:
    """The number a fake stage wrote."""
    assert isinstance(folder, Path)
    return int(json.loads((folder / "value.json").read_text()))


def _number(config: Number, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
    before = sum(value_of(path) for path in inputs.many("before").values())
    gate = inputs.optional("gate")
    bonus = json.loads((gate / "gate.json").read_text())["next_alpha"] if gate else 0
    write_json(out / "value.json", before + config.add + bonus)
    return {}


def _gate(config: Number, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
    after = value_of(inputs.one("after"))
    accepted = after <= config.limit
    write_json(out / "gate.json", {"accepted": accepted, "next_alpha": 0 if accepted else -10})
    chosen = inputs.one("after" if accepted else "before")
    write_json(out / "value.json", value_of(chosen))
    return {"accepted": accepted}


NUMBER = Stage("number", 1, Number, _number, optional=("before", "gate"))
GATE = Stage("gate", 1, Number, _gate, reads=("before", "after"))
