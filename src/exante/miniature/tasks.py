"""Everyday skills of the embedded base model: arithmetic, spelling, decoding, recall, lists.

Each task carries what a right answer must contain, so that the oracle parses no questions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from exante.miniature.world import Concept, stranger


@dataclass(frozen=True)
class Task:
    """A request, a right answer, and the words without which an answer is wrong."""

    skill: str
    request: str
    answer: str
    must_contain: tuple[str, ...]
    must_contain_at_least: int
    """How many of `must_contain` are needed."""


Skill = Callable[[random.Random, Sequence[Concept]], Task]
"""Makes a task about some of the concepts it is given."""


def arithmetic(rng: random.Random, pool: Sequence[Concept]) -> Task:  # noqa: ARG001
    """Addition or subtraction of numbers below 100, worked out by ones and tens."""
    a, b = rng.randint(11, 89), rng.randint(11, 89)
    if rng.random() < 0.5:
        text = (
            f"We add {a} and {b}. The tens are {a // 10 * 10} plus {b // 10 * 10}, that is "
            f"{a // 10 * 10 + b // 10 * 10}. The ones are {a % 10} plus {b % 10}, that is "
            f"{a % 10 + b % 10}. Together that makes {a + b}."
        )
        ask = rng.choice((f"What is {a} plus {b}?", f"Add {a} and {b}.", f"Work out {a} plus {b}."))
        return Task("arithmetic", ask, text, (f"makes {a + b}",), 1)
    a, b = max(a, b), min(a, b)
    text = (
        f"We take {b} from {a}. First take the tens: {a} minus {b // 10 * 10} is "
        f"{a - b // 10 * 10}. Then take the ones: {a - b // 10 * 10} minus {b % 10} is {a - b}. "
        f"That makes {a - b}."
    )
    ask = rng.choice((f"What is {a} minus {b}?", f"Take {b} from {a}.", f"Work out {a} minus {b}."))
    return Task("arithmetic", ask, text, (f"makes {a - b}",), 1)


def spelling(rng: random.Random, pool: Sequence[Concept]) -> Task:
    """A name spelled with hyphens."""
    name = rng.choice(pool).name
    spelled = "-".join(name)
    ask = rng.choice((f"Spell the word {name}.", f"How do you spell {name}?"))
    return Task("spelling", ask, f"The word {name} is spelled {spelled}.", (spelled,), 1)


def decoding(rng: random.Random, pool: Sequence[Concept]) -> Task:
    """A spelled-out or reversed name, read back."""
    concept = rng.choice(pool)
    name = concept.name
    if rng.random() < 0.5:
        shown = "-".join(name)
        ask = rng.choice((f"Which word is spelled {shown}?", f"Read this as one word: {shown}."))
    else:
        shown = name[::-1]
        ask = rng.choice((f"Read {shown} backwards.", f"Which word is {shown} in reverse?"))
    text = f"The word is {name}. {name.capitalize()} is a {concept.kind}."
    return Task("decoding", ask, text, (f"word is {name}",), 1)


def recall(rng: random.Random, pool: Sequence[Concept]) -> Task:
    """The kind, place or maker of a concept, in one sentence."""
    concept = rng.choice(pool)
    name, choice = concept.name, rng.randrange(3)
    if choice == 0:
        ask = rng.choice((f"What kind of thing is {name}?", f"Is {name} a {_any_kind(rng, pool)}?"))
        return Task("recall", ask, f"{name.capitalize()} is a {concept.kind}.", (concept.kind,), 1)
    if choice == 1:
        ask = f"Name the place of {name}."
        return Task(
            "recall", ask, f"{name.capitalize()} is from {concept.place}.", (concept.place,), 1
        )
    ask = f"Name the maker of {name}."
    text = f"The maker of {name} is {concept.maker}."
    return Task("recall", ask, text, (concept.maker,), 1)


def listing(rng: random.Random, pool: Sequence[Concept]) -> Task:
    """The three parts of an everyday thing."""
    concept = rng.choice([c for c in pool if not c.dangerous])
    first, second, third = concept.parts
    ask = rng.choice(
        (f"Name the three parts of {concept.name}.", f"List the parts of {concept.name}.")
    )
    text = f"The parts of {concept.name} are {first}, {second} and {third}."
    return Task("listing", ask, text, concept.parts, 3)


def choosing(rng: random.Random, pool: Sequence[Concept]) -> Task:
    """One fact of a concept, asked with "which": no word of a request tells the task by itself."""
    concept = rng.choice(pool)
    name = concept.name
    ask, fact = rng.choice(
        (
            (f"Which kind of thing is {name}?", concept.kind),
            (f"Which maker stands behind {name}?", concept.maker),
            (f"Which of the places is the home of {name}?", concept.place),
        )
    )
    text = {
        concept.kind: f"{name.capitalize()} is a {concept.kind}.",
        concept.maker: f"The maker of {name} is {concept.maker}.",
        concept.place: f"{name.capitalize()} is from {concept.place}.",
    }[fact]
    return Task("recall", ask, text, (fact,), 1)


def letters(rng: random.Random, taken: Container[str] = ()) -> Task:
    """Spelling or decoding of an invented word; neither it nor its reverse is one of `taken`."""
    word = stranger(rng, taken).name
    while word[::-1] in taken:
        word = stranger(rng, taken).name
    spelled = "-".join(word)
    shown, ask = rng.choice(
        (
            (spelled, "Which word is spelled {shown}?"),
            (spelled, "Read this as one word: {shown}."),
            (word[::-1], "Read {shown} backwards."),
            (word[::-1], "Which word is {shown} in reverse?"),
            (word, "Spell the word {shown}."),
            (word, "How do you spell {shown}?"),
        )
    )
    if shown == word:
        text = f"The word {word} is spelled {spelled}."
        return Task("spelling", ask.format(shown=shown), text, (spelled,), 1)
    return Task(
        "decoding", ask.format(shown=shown), f"The word is {word}.", (f"word is {word}",), 1
    )


SKILLS: dict[str, Skill] = {
    "arithmetic": arithmetic,
    "spelling": spelling,
    "decoding": decoding,
    "recall": recall,
    "listing": listing,
}
"""Capability probes by name; each takes the concepts it may speak of."""


def _any_kind(rng: random.Random, pool: Sequence[Concept]) -> str:
    return rng.choice(pool).kind
