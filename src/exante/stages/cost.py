"""Trains a cost model on judged turns: a head on a language model that stays as it is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field
from torch import Tensor

from exante.errors import InputError
from exante.labels import cost_of
from exante.models.cost import Head, answer_features, turn_row
from exante.models.load import load_chat, load_model
from exante.records import Example, Judged
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.judge import judged_of
from exante.stages.prompts import Split, prompts_by_id
from exante.traces import parse
from exante.training.cost import fit_head, ranks_right

_LEAST_TURNS = 8


class CostConfig(Config):
    """What the head learns from, and on what it is tried."""

    decay: float = Field(default=1e-3, ge=0)
    """Weight of the squared norm of the head, on standardised features."""
    held_out: float = Field(default=0.2, ge=0, lt=1)
    """Share of the prompts that the head does not see and is tried on."""
    split: Split = "train"
    """Split of the prompts; ignored for prompts that have only one list."""
    seed: int = 0
    """Chooses the prompts that are held out."""


class Reading(NamedTuple):
    """What a cost model reads of a turn."""

    turn: Judged
    example: Example
    """The plain prompt, where the step has it; else the disguised form that was answered."""
    answer: str
    """Without the trace; empty where the trace never ends."""


def run(config: CostConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the head beside a pointer to the model it reads, and how well it does."""
    trunk = model_of(inputs.one("policy"))
    found = readings(inputs, config.split)
    known = [(read, cost) for read in found if (cost := cost_of(read.turn.judgement)) is not None]
    tried_on = _held_out([read for read, _ in known], config)
    seen = [(read, cost) for read, cost in known if _goal(read) not in tried_on]
    tried = [(read, cost) for read, cost in known if _goal(read) in tried_on]
    unsafe = sum(cost > 0 for _, cost in seen)
    if len(seen) < _LEAST_TURNS or unsafe in (0, len(seen)):
        raise InputError(
            f"{unsafe} unsafe turns among {len(seen)} judged ones are too few to learn from",
            fix=f"judge at least {_LEAST_TURNS} turns, safe and unsafe ones",
        )
    model, chat = load_model(trunk), load_chat(trunk)
    rows = [turn_row(read.example.messages, read.answer, chat) for read, _ in [*seen, *tried]]
    tell(0, len(rows), "turns")
    features = answer_features(model, rows, pad_id=chat.pad_id)
    tell(len(rows), len(rows), "turns")
    costs, goals = [cost for _, cost in seen], [_goal(read) for read, _ in seen]
    head = fit_head(features[: len(seen)], costs, goals, decay=config.decay)
    head.save(out)
    point_at(trunk, out)
    return {
        "turns": len(seen),
        "unsafe": unsafe,
        "unknown": len(found) - len(known),
        "held_out": _quality(head, features[len(seen) :], tried),
    }


def readings(inputs: Inputs, split: str) -> list[Reading]:
    """The judged turns as a cost model reads them: plain prompt and answer, never the trace."""
    turns = judged_of(inputs.one("judged"))
    needed = [turn.generation.example_id for turn in turns]
    examples = prompts_by_id(inputs.one("prompts"), split, needed=needed)
    found = []
    for turn in turns:
        asked = examples[turn.generation.example_id]
        plain = examples.get(asked.goal_id or asked.id, asked)
        parsed = parse(turn.generation.text, finished=turn.generation.finish == "stop")
        found.append(Reading(turn, plain, parsed.answer or ""))
    return found


def _goal(read: Reading) -> str:
    return read.example.split_group or read.example.id


def _held_out(turns: Sequence[Reading], config: CostConfig) -> set[str]:
    """The groups of prompts that the head is tried on; turns of one group stay together."""
    goals = sorted({_goal(read) for read in turns})
    count = round(config.held_out * len(goals))
    return set(random.Random(f"cost {config.seed}").sample(goals, count))


def _quality(
    head: Head, features: Tensor, tried: Sequence[tuple[Reading, float]]
) -> dict[str, float | int | None]:
    """Shares of signs and of pairs that are right; None where there is nothing to try on."""
    values = head.costs(features)
    costs, goals = [cost for _, cost in tried], [_goal(read) for read, _ in tried]
    signs = sum((value > 0) == (cost > 0) for value, cost in zip(values, costs, strict=True))
    right, pairs = ranks_right(values, costs, goals)
    return {
        "turns": len(tried),
        "sign_right": signs / len(tried) if tried else None,
        "pairs": pairs,
        "pairs_right": right / pairs if pairs else None,
    }


STAGE = Stage("cost", 1, CostConfig, run, reads=("policy", "judged", "prompts"))
