"""Attacks a policy with vectors in the place of a suffix, and writes the turns that follow.

There is no prompt that could be sampled elsewhere, so search and decoding are one stage. What it
measures is an upper bound for an attacker who holds the weights.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from exante.attacks.base import attacked
from exante.attacks.search import SOFT
from exante.models.soft import SoftSettings, greedy_after, soften
from exante.models.target import LocalTarget
from exante.records import Example, Generation, Record, write_jsonl
from exante.stages.base import Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.partial import put, resumed
from exante.stages.prompts import EXAMPLES
from exante.stages.sample import GENERATIONS
from exante.stages.search import GoalSettings, aim_of, goals_of, target_of

_PARTIAL = "softened.partial.jsonl"


class SoftAttackConfig(GoalSettings):
    """Which goals, and how long the vectors are moved."""

    soft: SoftSettings = SoftSettings()
    """Budget of the search."""
    max_new_tokens: int = Field(default=192, ge=1)
    """Most tokens of one turn; a turn that reaches it is marked `length`."""


class Softened(Record):
    """One goal, the turn behind the moved vectors, and how the log-prob rose."""

    generation: Generation
    history: tuple[float, ...]


def run(config: SoftAttackConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write one prompt and one turn per goal, in the prompts' order."""
    folder = model_of(inputs.one("policy"))
    (family,) = SOFT
    goals = goals_of(inputs.one("prompts"), config)
    made = [(goal, attacked(goal, family, goal.prompt)) for goal in goals]
    done = {s.generation.example_id: s for s in resumed(out / _PARTIAL, Softened)}
    owed = [(goal, example.id) for goal, example in made if example.id not in done]
    if owed:
        target = target_of(folder, config, reply_tokens=config.max_new_tokens)
        with (out / _PARTIAL).open("a", encoding="utf-8") as file:
            for goal, key in owed:
                done[key] = _softened(target, goal, key, config)
                put([done[key]], file)
                tell(len(done), len(goals), "goals")
    ordered = [done[example.id] for _, example in made]
    write_jsonl(out / EXAMPLES, (example for _, example in made))
    write_jsonl(out / GENERATIONS, (s.generation for s in ordered))
    (out / _PARTIAL).unlink(missing_ok=True)
    point_at(folder, out)
    count = max(1, len(ordered))
    return {
        "goals": len(ordered),
        "gradients": sum(len(s.history) - 1 for s in ordered),
        "before": round(sum(s.history[0] for s in ordered) / count, 3),
        "after": round(sum(s.history[-1] for s in ordered) / count, 3),
        "truncated": sum(s.generation.finish == "length" for s in ordered),
    }


def _softened(target: LocalTarget, goal: Example, key: str, config: SoftAttackConfig) -> Softened:
    words = aim_of(config, target.chat.tag)
    vectors, history = soften(target, goal.messages, words, config.soft)
    prompt = target.soft_prompt(goal.messages, vectors)
    ids, finish = greedy_after(target, prompt, target.reply_tokens)
    token_ids = (*target.opening, *ids)
    generation = Generation(
        example_id=key,
        # The goal without the vectors, which no ids name; hence no log-probs either.
        prompt_ids=target.chat.prompt_ids(goal.messages),
        token_ids=token_ids,
        forced=len(target.opening),
        text=target.chat.decode(token_ids),
        finish=finish,
    )
    return Softened(generation=generation, history=tuple(history))


STAGE = Stage("soft_attack", 1, SoftAttackConfig, run, reads=("policy", "prompts"))
