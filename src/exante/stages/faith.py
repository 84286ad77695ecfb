"""Edits a model's own traces and puts them at the start of its turns, as prompts to sample from.

Sampling and judging are those of every evaluation, and so are their ways of being continued; what
follows from the edits is counted in `stages.reasoning`.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from exante import rules, traces
from exante.interventions import (
    OPPOSITE,
    Edit,
    Intervention,
    path_for,
    swapped,
    transplanted,
    turned,
    up_to_decision,
    without_rules,
)
from exante.models.load import load_chat
from exante.records import Decision, Example, Judged, write_jsonl
from exante.rules import RuleSet
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of
from exante.stages.judge import judged_of
from exante.stages.prompts import EXAMPLES, Split, prompts_by_id
from exante.traces import Trace, render

INTERVENTIONS = "interventions.jsonl"


class FaithConfig(Config):
    """Whose traces are edited, and how many."""

    rules: str
    """Rule set whose clauses the traces cite."""
    split: Split = "test"
    """Split of the prompts; ignored for prompts that have only one list."""
    per_decision: int = Field(default=120, ge=1)
    """Most goals whose trace is edited, of those that the model complies with and of those that it
    refuses; one turn each, plain or disguised."""
    seed: int = 0
    """Chooses goals, turns, paths and foreign clauses."""


@dataclass(frozen=True, slots=True)
class _Own:
    """A turn of the model's own, as far as it is edited."""

    example: Example
    trace: Trace

    @property
    def goal(self) -> str:
        return self.example.goal_id or self.example.id


def identity(config: FaithConfig) -> dict[str, str]:
    """The content of the rules."""
    return {"rules": rules.load(config.rules).hash}


def run(config: FaithConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write one prompt per edit with the start of its turn, and what was done to which turn."""
    folder, ruleset = inputs.one("judged"), rules.load(config.rules)
    judged = [j for j in judged_of(folder) if j.generation.source == "policy"]
    needed = [j.generation.example_id for j in judged]
    examples = prompts_by_id(inputs.one("prompts"), config.split, needed=needed)
    tag = load_chat(model_of(folder)).tag
    own = list(_editable(judged, examples, ruleset, tag))
    paths = _paths(own)
    made: list[tuple[Example, Intervention]] = []
    for turn in _drawn(own, config):
        rng = random.Random(f"faith {config.seed} {turn.example.id}")
        made += _edits(turn, paths, ruleset, tag, rng)
    write_jsonl(out / EXAMPLES, (example for example, _ in made))
    write_jsonl(out / INTERVENTIONS, (done for _, done in made))
    return {
        "prompts": len(made),
        "traces": len(own),
        "edits": dict(Counter(done.edit for _, done in made)),
        "own": dict(Counter(done.own for _, done in made if done.edit == "kept")),
    }


def _editable(
    judged: Sequence[Judged], examples: dict[str, Example], ruleset: RuleSet, tag: str
) -> Iterator[_Own]:
    """Finished first turns with a valid trace that complies or refuses, and no attacker's start."""
    known = ruleset.clause_ids(None)
    for turn in judged:
        generation = turn.generation
        example = examples[generation.example_id]
        if generation.sample or example.prefill or generation.finish != "stop":
            continue
        parsed = traces.parse(generation.text, tag=tag, clauses=known)
        if parsed.valid and parsed.trace is not None and parsed.trace.decision in OPPOSITE:
            yield _Own(example, parsed.trace)


def _paths(own: Sequence[_Own]) -> dict[Decision, tuple[str, ...]]:
    """What the model writes behind each decision, as often as it does."""
    return {
        decision: tuple(t.trace.path for t in own if t.trace.decision == decision and t.trace.path)
        for decision in OPPOSITE
    }


def _drawn(own: Sequence[_Own], config: FaithConfig) -> list[_Own]:
    """Of each decision, one turn of each of so many goals, in the order of the prompts."""
    rng = random.Random(f"faith {config.seed}")
    chosen: set[str] = set()
    for decision in OPPOSITE:
        by_goal: dict[str, list[str]] = defaultdict(list)
        for turn in own:
            if turn.trace.decision == decision:
                by_goal[turn.goal].append(turn.example.id)
        goals = rng.sample(list(by_goal), min(len(by_goal), config.per_decision))
        chosen.update(rng.choice(by_goal[goal]) for goal in goals)
    return [turn for turn in own if turn.example.id in chosen]


def _edits(
    own: _Own,
    paths: dict[Decision, tuple[str, ...]],
    ruleset: RuleSet,
    tag: str,
    rng: random.Random,
) -> Iterator[tuple[Example, Intervention]]:
    """Every edit that this trace allows, with what it is compared with."""
    trace = own.trace
    other = swapped(trace, path_for(trace, paths[OPPOSITE[trace.decision]], rng))
    yield _prompt(own, "kept", render(trace, tag), trace.decision)
    yield _prompt(own, "decision", render(other, tag), other.decision)
    yield _prompt(own, "kept_checks", up_to_decision(trace, tag))
    checks: dict[Edit, Trace | None] = {
        "verdicts": turned(trace, ruleset),
        "clauses": transplanted(trace, ruleset, rng),
    }
    for edit, changed in checks.items():
        if changed is not None:
            yield _prompt(own, edit, up_to_decision(changed, tag))
    unruled = without_rules(own.example, trace.cited)
    if unruled is not None:
        yield _prompt(_Own(unruled, trace), "rules", traces.opening(tag))


def _prompt(
    own: _Own, edit: Edit, start: str, told: Decision | None = None
) -> tuple[Example, Intervention]:
    key = f"{own.example.id}#faith.{edit}"
    example = own.example.model_copy(update={"id": key, "goal_id": own.goal, "prefill": start})
    done = Intervention(
        example_id=key, of=own.example.id, edit=edit, own=own.trace.decision, told=told
    )
    return example, done


STAGE = Stage("faith", 1, FaithConfig, run, reads=("judged", "prompts"), identity=identity)
