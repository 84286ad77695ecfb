"""Makes preference pairs from judged turns, by rules of ERPO or by labels alone."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from exante import selections, traces
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.preferences import (
    Candidate,
    Group,
    PairSettings,
    Selection,
    quality_pairs,
    shorter_pairs,
    step_pairs,
)
from exante.records import write_json, write_jsonl
from exante.selections import LabelSelection, SelectionSettings, pairs_by_label
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of
from exante.stages.decision import alpha_of
from exante.stages.judge import judged_of
from exante.stages.prompts import Split, examples_of

PAIRS = "pairs.jsonl"


class PairConfig(Config):
    """What a pair teaches."""

    rule: Literal["quality", "shorter", "step", selections.Rule] = "quality"
    """`quality`: what is right; `shorter`: the same, and a margin for saved trace tokens; `step`:
    as `quality`, from the section on in which two turns part. By labels alone: `better`, `safer`,
    `safe_first`, `safe_better`, `safedpo` (docs/methods.md)."""
    alpha: float = Field(default=0.5, ge=0)
    """Strength of the length margin in nats per reference length; a gate's value replaces it."""
    split: Split = "train"
    """Split of the prompts; ignored for prompts that have only one list."""
    choice: PairSettings = PairSettings()
    """Caps, balance and thresholds of `quality`, `shorter` and `step`."""
    labels: SelectionSettings = SelectionSettings()
    """Caps and margins of the rules by label."""

    @model_validator(mode="after")
    def _settings_are_those_of_the_rule(self) -> Self:
        unread = "choice" if self.rule in selections.RULES else "labels"
        if unread in self.model_fields_set:
            raise ValueError(f"rule {self.rule} does not read {unread}")
        return self


def run(config: PairConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the pairs, and the account of what was made and dropped."""
    groups = groups_of(inputs, config.split)
    alpha = alpha_of(inputs.optional("gate"), config.alpha) if config.rule == "shorter" else 0.0
    selection = _selected(groups, config, alpha, inputs)
    write_jsonl(out / PAIRS, selection.pairs)
    counts = selection.counts.model_dump()
    write_json(out / "counts.json", counts)
    return {"rule": config.rule, "alpha": alpha, **counts}


def _selected(
    groups: list[Group], config: PairConfig, alpha: float, inputs: Inputs
) -> Selection | LabelSelection:
    if config.rule == "quality":
        return quality_pairs(groups, config.choice)
    if config.rule == "shorter":
        return shorter_pairs(groups, config.choice, alpha)
    if config.rule == "step":
        chat = load_chat(model_of(next(iter(inputs.many("judged").values()))))
        return step_pairs(groups, config.choice, partial(_section_ends, chat=chat))
    return pairs_by_label(groups, config.rule, config.labels)


def _section_ends(ids: tuple[int, ...], chat: Chat) -> list[int]:
    return traces.section_ends(chat.pieces(ids), chat.tag)


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


STAGE = Stage("pair", 2, PairConfig, run, reads=("judged", "prompts"), optional=("gate",))
