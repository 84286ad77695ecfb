"""Puts the same text before every answer: baselines that say something first and reason nothing."""

from __future__ import annotations

from pathlib import Path

from exante import traces
from exante.errors import InputError
from exante.records import write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell
from exante.stages.reason import TRACED, traced_of


class PrefaceConfig(Config):
    """What is said first."""

    text: str
    """A whole trace with its tags, or a few words."""


def run(config: PrefaceConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write every right turn of `traces`, which has no trace of its own, behind the text."""
    place = inputs.one("traces")
    turns = [turn for turn in traced_of(place) if turn.role == "right"]
    if any(traces.parse(turn.text).present for turn in turns):
        raise InputError(
            "its turns begin with traces already", where=str(place), fix="make it with trace: false"
        )
    # A runtime may open what begins like any trace.
    level = "full" if config.text.startswith(traces.opening()) else "none"
    write_jsonl(
        out / TRACED,
        (t.model_copy(update={"text": config.text + t.text, "level": level}) for t in turns),
    )
    return {"turns": len(turns), "level": level}


STAGE = Stage("preface", 1, PrefaceConfig, run, reads=("traces",))
