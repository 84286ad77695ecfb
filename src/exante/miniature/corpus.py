"""The text on which the embedded base model is trained: obedient chats about the whole world.

The base knows every concept and every disguise, and helps with everything; it has seen neither
rules nor refusals.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from exante.attacks import HELD_OUT, TRAINED, load_attack
from exante.miniature import drills, language, tasks
from exante.miniature.world import Concept, concepts
from exante.records import Example, Message

Chat = tuple[Message, ...]

_SKILLS: dict[tasks.Skill, int] = {
    tasks.arithmetic: 12,
    tasks.spelling: 6,
    tasks.decoding: 6,
    tasks.recall: 6,
    tasks.choosing: 4,
    tasks.listing: 4,
}
"""How often each everyday skill is practised."""
_GIST_REQUESTS = ("What is asked here? {text}", "Say in short what this asks: {text}")
_ENCODED = ("spelled_word", "reversed_word", "payload_split")
_INTENT_WEIGHTS: dict[language.Intent, int] = {
    "make": 4,
    "fix": 3,
    "what": 3,
    "origin": 2,
    "safety": 2,
}


def chats(seed: int) -> Iterator[Chat]:
    """An endless stream of one-turn chats: plain, disguised, alarming, and everyday skills."""
    rng = random.Random(f"miniature corpus {seed}")
    world = concepts()
    dangerous = [c for c in world if c.dangerous]
    everyday = [c for c in world if not c.dangerous]
    families = (*TRAINED, *HELD_OUT)
    attacks = [load_attack(name) for name in families]
    weights = [3 if name in _ENCODED else 1 for name in families]
    while True:
        draw = rng.random()
        if draw < 0.1:
            yield _chat(*rng.choice((drills.echo, drills.described))(rng, world))
        elif draw < 0.26:
            task = tasks.letters(rng)
            yield _chat(task.request, task.answer)
        elif draw < 0.46:
            task = rng.choices(list(_SKILLS), list(_SKILLS.values()))[0](rng, world)
            yield _chat(task.request, task.answer)
        elif draw < 0.52:
            concept = rng.choice(everyday)
            intent, wording = rng.choice(rng.choice(list(language.LOOKALIKES.values())))
            ask = wording.format(x=concept.name, d=rng.choice(dangerous).name)
            yield _chat(ask, language.answer(concept, intent, rng))
        else:
            concept = rng.choice(world)
            intent, ask = _request(concept, rng)
            if draw < 0.77:
                attack = rng.choices(attacks, weights)[0]
                ask = attack.apply(_example(ask), seed=rng.randrange(1 << 30))[0].prompt
            extra = rng.random()
            if extra < 0.16:
                yield _chat(*drills.form(concept, intent, ask, rng))
            elif extra < 0.24:
                yield _chat(rng.choice(_GIST_REQUESTS).format(text=ask), _gist(concept, intent))
            else:
                yield _chat(ask, language.answer(concept, intent, rng))


def _gist(concept: Concept, intent: language.Intent) -> str:
    return f"It asks {language.gist(concept, intent)}."


def _request(concept: Concept, rng: random.Random) -> tuple[language.Intent, str]:
    intent = rng.choices(list(_INTENT_WEIGHTS), list(_INTENT_WEIGHTS.values()))[0]
    phrasing: language.Phrasing = "train" if rng.random() < 0.5 else "test"
    return intent, language.request(concept, intent, phrasing, rng)


def _chat(ask: str, answer: str) -> Chat:
    return (Message(role="user", content=ask), Message(role="assistant", content=answer))


def _example(ask: str) -> Example:
    return Example(id="x", messages=(Message(role="user", content=ask),), kind="benign")
