"""Makes preference pairs from judged turns: safety before usefulness before efficiency."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Literal

from pydantic import Field

from exante.preferences import Candidate, Group, PairSettings, quality_pairs, shorter_pairs
from exante.records import write_json, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell
from exante.stages.judge import judged_of
from exante.stages.prompts import examples_of

PAIRS = "pairs.jsonl"
GATE = "gate.json"


class PairConfig(Config):
    """What a pair teaches."""

    rule: Literal["quality", "shorter"] = "quality"
    """`quality`: what is right; `shorter`: the same, and a margin for saved trace tokens."""
    alpha: float = Field(default=0.5, ge=0)
    """Strength of the length margin in nats per reference length; a gate's value replaces it."""
    split: str = "train"
    """Split of the prompts; ignored for prompts that have only one list."""
    choice: PairSettings = PairSettings()
    """Caps, balance and thresholds."""


def run(config: PairConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the pairs, and the account of what was made and dropped."""
    groups = groups_of(inputs, config.split)
    alpha = alpha_of(inputs.optional("gate"), config.alpha)
    if config.rule == "quality":
        selection = quality_pairs(groups, config.choice)
    else:
        selection = shorter_pairs(groups, config.choice, alpha)
    write_jsonl(out / PAIRS, selection.pairs)
    counts = selection.counts.model_dump()
    write_json(out / "counts.json", counts)
    return {"rule": config.rule, "alpha": alpha if config.rule == "shorter" else 0.0, **counts}


def groups_of(inputs: Inputs, split: str) -> list[Group]:
    """The prompts that have judged turns, in the prompts' order, with all of these."""
    examples = {e.id: e for e in examples_of(inputs.one("prompts"), split)}
    turns: dict[str, list[Candidate]] = defaultdict(list)
    for folder in inputs.many("judged").values():
        for judged in judged_of(folder):
            turns[judged.generation.example_id].append(
                Candidate(judged.generation, judged.judgement)
            )
    return [Group(examples[key], tuple(turns[key])) for key in examples if key in turns]


def alpha_of(gate: Path | None, first: float) -> float:
    """The strength of the length margin that the last gate asks for; `first` before any gate."""
    if gate is None:
        return first
    return float(json.loads((gate / GATE).read_text(encoding="utf-8"))["next_alpha"])


STAGE = Stage("pair", 2, PairConfig, run, reads=("judged", "prompts"), optional=("gate",))
