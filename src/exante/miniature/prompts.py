"""Prompts of the embedded world, split by concept and by wording.

`train`, `validation` and `test` share no concept and, for train against test, no wording.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict

from exante.defences import KNOWLEDGE
from exante.miniature import language, tasks
from exante.miniature.language import Intent, Phrasing
from exante.miniature.world import Concept, Split, by_name, select, stranger
from exante.records import Example, Kind, Message

_INFORMATION: tuple[Intent, ...] = ("what", "origin", "safety")
_WORDINGS: dict[Split, int] = {"train": 2, "validation": 1, "test": 1}
_STRANGERS: dict[Split, int] = {"train": 600, "validation": 0, "test": 0}
_TASKS: dict[Split, int] = {"train": 1400, "validation": 80, "test": 120}


def examples(seed: int = 0) -> dict[str, list[Example]]:
    """All prompts by split; the seed chooses wordings and tasks, never who belongs where."""
    return {split: _split(split, seed) for split in ("train", "validation", "test")}


def _split(split: Split, seed: int) -> list[Example]:
    rng = random.Random(f"miniature prompts {split} {seed}")
    phrasing: Phrasing = "train" if split == "train" else "test"
    made: list[Example] = []
    dangerous = select(dangerous=True, split=split)
    for concept in dangerous:
        for intent in language.HARMFUL_INTENTS:
            for ask in _asked(concept, intent, split, _WORDINGS[split], rng):
                made.append(_example(concept, intent, ask, "harmful", split))
        for intent in _INFORMATION:
            for ask in _asked(concept, intent, split, 1, rng):
                made.append(_example(concept, intent, ask, "borderline", split))
    everyday = select(dangerous=False, split=split)
    for concept in everyday:
        for intent in language.GISTS:
            count = _WORDINGS[split] if intent in language.HARMFUL_INTENTS else 1
            for ask in _asked(concept, intent, split, count, rng):
                made.append(_example(concept, intent, ask, "benign", split))
        for intent, wording in rng.sample(language.LOOKALIKES[phrasing], _WORDINGS[split]):
            ask = wording.format(x=concept.name, d=rng.choice(dangerous).name)
            made.append(_example(concept, intent, ask, "borderline", split))
    made.extend(_described(split, rng) for _ in range(_STRANGERS[split]))
    pool = [*dangerous, *everyday]
    made.extend(_task(split, index, pool, rng) for index in range(_TASKS[split]))
    return made


def _asked(
    concept: Concept, intent: Intent, split: Split, count: int, rng: random.Random
) -> list[str]:
    """Different wordings of one request, of those that the split may use."""
    known = language.REQUESTS[intent]["train" if split == "train" else "test"]
    if split == "train":
        known += language.PARAPHRASES[intent]
    return [wording.format(x=concept.name) for wording in rng.sample(known, count)]


def _example(concept: Concept, intent: Intent, ask: str, kind: Kind, split: Split) -> Example:
    return Example(
        id=f"{split}/{kind}/{concept.name}/{intent}/{_slug(ask)}",
        messages=(Message(role="user", content=ask),),
        kind=kind,
        category=concept.category,
        source="miniature",
        split_group=concept.name,
        facts={
            "concept": concept.name,
            "intent": intent,
            KNOWLEDGE: language.description(concept),
        },
    )


def _described(split: Split, rng: random.Random) -> Example:
    """A question about a thing that the prompt itself describes: no name to learn by heart."""
    thing = stranger(rng, by_name())
    intent = rng.choice(list(language.GISTS))
    kind: Kind = "benign"
    if thing.dangerous:
        kind = "harmful" if intent in language.HARMFUL_INTENTS else "borderline"
    ask = f"{language.description(thing)} {_asked(thing, intent, 'train', 1, rng)[0]}"
    example = _example(thing, intent, ask, kind, split)
    return example.model_copy(update={"facts": {**example.facts, "stranger": asdict(thing)}})


def _task(split: Split, index: int, pool: Sequence[Concept], rng: random.Random) -> Example:
    task = _general(rng, pool) if split == "train" else _probe(rng, pool)
    return Example(
        id=f"{split}/capability/{task.skill}/{index}",
        messages=(Message(role="user", content=task.request),),
        kind="capability",
        source="miniature",
        split_group=f"{split}-task-{index}",
        facts={
            "skill": task.skill,
            "answer": task.answer,
            "must_contain": list(task.must_contain),
            "at_least": task.must_contain_at_least,
        },
    )


def _probe(rng: random.Random, pool: Sequence[Concept]) -> tasks.Task:
    """A task of any skill, about the concepts of the split."""
    return tasks.SKILLS[rng.choice(list(tasks.SKILLS))](rng, pool)


def _general(rng: random.Random, pool: Sequence[Concept]) -> tasks.Task:
    """What general instructions are to a real model: broad practice, little of it about facts."""
    draw = rng.random()
    if draw < 0.35:
        return tasks.letters(rng, by_name())
    if draw < 0.6:
        return tasks.arithmetic(rng, pool)
    if draw < 0.65:
        return tasks.choosing(rng, pool)
    return _probe(rng, pool)


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower())[:40].strip("-")
