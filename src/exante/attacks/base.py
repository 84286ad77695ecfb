"""What an attack is, and how a wrapped prompt remembers where it came from.

Attacks are pure and seeded: text in, text out. Judges never see the wrapping, because an attacked
example points back to its goal. No model is called and no harmful text is stored here.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from exante import plugins
from exante.records import Example, Message

_SLOT = re.compile(r"\{([a-z]+)\}")


@runtime_checkable
class Attack(Protocol):
    """One family of disguises."""

    @property
    def name(self) -> str:
        """The family, as it stands in tables and reports."""
        ...

    def apply(self, example: Example, seed: int) -> list[Example]:
        """The disguised forms of one prompt; same seed, same text."""
        ...


class Template:
    """An attack that puts the goal into one of a few short wordings.

    Abstract: a family says `name` and `wordings`, each with one `{goal}` slot.
    """

    name: ClassVar[str]
    wordings: ClassVar[tuple[str, ...]]

    def apply(self, example: Example, seed: int) -> list[Example]:
        """One wrapped prompt; seed and example choose the wording."""
        wording = stream(self.name, example, seed).choice(self.wordings)
        return [attacked(example, self.name, fill(wording, goal=example.prompt))]


def forms_of(attack: Attack, example: Example, seed: int) -> list[Example]:
    """The attack's disguised forms of one prompt.

    Raises:
        RunError: the attack failed, or gave something else than forms that remember their goal:
            judges would read the disguise in its place.
    """
    with plugins.running("attack", attack.name):
        forms = attack.apply(example, seed)
    goal = example.goal_id or example.id
    if not isinstance(forms, list) or not all(
        isinstance(form, Example) and form.goal_id == goal for form in forms
    ):
        problem = f"attack {attack.name} gave something else than Examples with goal_id {goal!r}"
        raise plugins.broken("attack", problem, where=example.id)
    return forms


def stream(name: str, example: Example, seed: int) -> random.Random:
    """Randomness of one attack on one prompt, whatever else is attacked in the same run."""
    return random.Random(f"{name} {seed} {example.id}")


def fill(wording: str, **slots: str) -> str:
    """The wording with its `{slots}` filled; braces inside the filled-in text stay as they are."""
    return _SLOT.sub(lambda match: slots[match.group(1)], wording)


def attacked(
    example: Example,
    name: str,
    text: str,
    *,
    prefill: str = "",
    before: Sequence[Message] = (),
) -> Example:
    """The example with another last user turn, turns put `before` it, and its goal remembered.

    The id ends in a hash of the content, so that two wordings of one goal are two prompts.
    """
    turns = list(example.messages)
    place = max(i for i, turn in enumerate(turns) if turn.role == "user")
    turns[place : place + 1] = [*before, Message(role="user", content=text)]
    content = "\0".join([text, prefill, *(turn.content for turn in before)])
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    goal = example.goal_id or example.id
    return example.model_copy(
        update={
            "id": f"{goal}#{name}.{digest}",
            "messages": tuple(turns),
            "goal_id": goal,
            "attack": name,
            "prefill": prefill,
        }
    )
