"""Drills that give the small base what breadth gives large ones: copying, reading, composing.

Without them a model of a closed world knows its few hundred names by heart, and loses them as soon
as it is fine-tuned.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from exante.miniature import language
from exante.miniature.world import DANGEROUS, EVERYDAY, MAKERS, PLACES, Concept, stranger

Drill = tuple[str, str]
"""A request and its answer."""

_WORDS = (
    *(part for parts in EVERYDAY.values() for part in parts),
    *("and", "or", "not", "no", "could", "would", "about", "instead", "because", "people", "name"),
    *("task", "asks", "rule", "note", "given", "met", "like", "time", "good", "two", "red", "old"),
    *EVERYDAY,
    *DANGEROUS,
    *(",", ".", ":", ";", "-", "/", "[", "]", "(", ")", "7", "3"),
)
_FIELDS: dict[str, Callable[[Concept, language.Intent], str]] = {
    "ask": lambda _, intent: language.GISTS[intent],
    "name": lambda concept, _: concept.name,
    "kind": lambda concept, _: concept.kind,
    "topic": lambda _, intent: language.TOPICS[intent],
    "place": lambda concept, _: concept.place,
    "maker": lambda concept, _: concept.maker,
    "part": lambda concept, _: concept.parts[0],
}


def echo(rng: random.Random, world: Sequence[Concept]) -> Drill:
    """Words without sense, to be said again."""
    words = [_any_word(rng, world) for _ in range(rng.randint(2, 14))]
    text = " ".join(words)
    ask = rng.choice(("Say after me: {text}", "Repeat this: {text}", "Copy: {text}"))
    return ask.format(text=text), text


def described(rng: random.Random, _: Sequence[Concept]) -> Drill:
    """A thing nobody knows, described in the request, and a question about it."""
    thing = stranger(rng)
    intent = rng.choice(list(language.GISTS))
    ask = language.request(thing, intent, rng.choice(("train", "test")), rng)
    return f"{language.description(thing)} {ask}", language.answer(thing, intent, rng)


def form(concept: Concept, intent: language.Intent, ask: str, rng: random.Random) -> Drill:
    """What a request is about, in the fields and with the marks that are asked for."""
    fields = rng.sample(list(_FIELDS), rng.randint(1, 4))
    if rng.random() < 0.3:
        fields = ["kind"] + [field for field in fields if field != "kind"]
    mark = rng.choice((", ", "; ", " / ", ". ", " - "))
    joined = mark.join(fields)
    answer = mark.join(_FIELDS[field](concept, intent) for field in fields)
    if rng.random() < 0.3:
        joined, answer = f"[{joined}]", f"[{answer}]"
    return rng.choice((f"{ask} Fill in: {joined}", f"Fill in {joined} for this: {ask}")), answer


def _any_word(rng: random.Random, world: Sequence[Concept]) -> str:
    draw = rng.random()
    if draw < 0.2:
        return stranger(rng).name
    if draw < 0.35:
        return rng.choice(world).name
    return rng.choice((*_WORDS, rng.choice(PLACES), rng.choice(MAKERS)))
