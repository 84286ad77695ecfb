"""Looks for what is wrong with preference data: pure functions on examples, nothing is mended.

Every finding counts rows and names the first places. A finding is a reason to look, not always a
fault: in PKU-SafeRLHF the more useful answer may be the unsafe one by design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

from pydantic import Field

from exante import overlap
from exante.formats.prompts import group_of
from exante.records import Example, Record, Response

SHOWN = 5
"""Places that are named of each finding."""


class LintSettings(Record):
    """From where on something is found."""

    prompts: float = Field(default=0.8, gt=0, le=1)
    """Jaccard similarity of character shingles from which two prompts are near-duplicates."""
    responses: float = Field(default=0.9, gt=0, le=1)
    """The same for two responses to one prompt."""
    longest: int = Field(default=16_000, ge=1)
    """Characters of prompt and one response together."""


class Finding(Record):
    """One kind of trouble."""

    name: str
    about: str
    """What it means."""
    rows: int
    """How many rows have it."""
    first: tuple[str, ...]
    """File and line of the first ones."""


class Placed(NamedTuple):
    """An example with file and line."""

    where: str
    example: Example


def lint(rows: Iterable[tuple[str, Example]], settings: LintSettings) -> list[Finding]:
    """What was found, in the order of `CHECKS`; the same rows give the same findings."""
    placed = [Placed(*row) for row in rows]
    found = []
    for name, (about, check) in CHECKS.items():
        places = check(placed, settings)
        if places:
            found.append(
                Finding(name=name, about=about, rows=len(places), first=tuple(places[:SHOWN]))
            )
    return found


def preferred(example: Example) -> int | None:
    """The response that pairs would choose: the more useful one, else the safer one."""
    return example.safer if example.better is None else example.better


def _each(holds: Callable[[Example, LintSettings], bool]) -> _Check:
    """A check that looks at one row at a time."""

    def places(rows: Sequence[Placed], settings: LintSettings) -> list[str]:
        return [row.where for row in rows if holds(row.example, settings)]

    return places


def _empty(example: Example, settings: LintSettings) -> bool:
    return any(not response.text.strip() for response in example.responses)


def _over_long(example: Example, settings: LintSettings) -> bool:
    prompt = sum(len(message.content) for message in example.messages)
    answer = max((len(response.text) for response in example.responses), default=0)
    return prompt + answer > settings.longest


def _identical(example: Example, settings: LintSettings) -> bool:
    texts = _texts(example)
    return len(set(texts)) < len(texts)


def _near_identical(example: Example, settings: LintSettings) -> bool:
    pieces = [overlap.shingles(text) for text in dict.fromkeys(_texts(example))]
    return any(overlap.jaccard(*two) >= settings.responses for two in combinations(pieces, 2))


def _conflicting(example: Example, settings: LintSettings) -> bool:
    """Labels of one row that cannot hold together."""
    responses, safer, better = example.responses, example.safer, example.better
    costs = [None if r.cost is None else -r.cost for r in responses]
    rewards = [response.reward for response in responses]
    told = [(r.unsafe, r.cost) for r in responses]
    return (
        any(u != (c > 0) for u, c in told if u is not None and c is not None)
        or (safer is not None and _unsafe_beside_safe(responses, safer))
        or (safer is not None and _beaten(safer, costs))
        or (better is not None and _beaten(better, rewards))
    )


def _unsafe_beside_safe(responses: Sequence[Response], place: int) -> bool:
    is_unsafe = responses[place].is_unsafe is True
    return is_unsafe and any(response.is_unsafe is False for response in responses)


def _beaten(place: int, values: Sequence[float | None]) -> bool:
    own = values[place]
    return own is not None and any(value is not None and value > own for value in values)


def _flipped(example: Example, settings: LintSettings) -> bool:
    chosen = preferred(example)
    return chosen is not None and _unsafe_beside_safe(example.responses, chosen)


def _unordered(example: Example, settings: LintSettings) -> bool:
    responses = example.responses
    if len(responses) < 2 or preferred(example) is not None:
        return False
    return not any(_tells_apart(responses, name) for name in ("is_unsafe", "reward", "cost"))


def _tells_apart(responses: Sequence[Response], name: str) -> bool:
    return len({getattr(r, name) for r in responses if getattr(r, name) is not None}) > 1


def _unlabelled(rows: Sequence[Placed], settings: LintSettings) -> list[str]:
    """Rows without a label that others have; where nobody has it, nothing is missing."""
    lacks: list[Callable[[Example], bool]] = []
    for name in ("is_unsafe", "reward", "cost"):
        if any(getattr(r, name) is not None for row in rows for r in row.example.responses):
            lacks.append(partial(_lacks, name))
    for name in ("better", "safer"):
        if any(getattr(row.example, name) is not None for row in rows):
            lacks.append(partial(_lacks_preference, name))
    return [row.where for row in rows if any(check(row.example) for check in lacks)]


def _lacks(name: str, example: Example) -> bool:
    return any(getattr(response, name) is None for response in example.responses)


def _lacks_preference(name: str, example: Example) -> bool:
    """Rewards say it, too, even if two are the same."""
    told = name == "better" and not _lacks("reward", example)
    return len(example.responses) > 1 and getattr(example, name) is None and not told


def _contradicting(rows: Sequence[Placed], settings: LintSettings) -> list[str]:
    """Rows whose preference between two texts is the opposite of an earlier row's."""
    said: dict[tuple[str, str, str, str], str] = {}
    found: list[str] = []
    for row in rows:
        opinions = _opinions(row.example)
        opposite = [(b, a, respect, group) for a, b, respect, group in opinions]
        against = next((said[opinion] for opinion in opposite if opinion in said), None)
        if against is not None:
            found.append(f"{row.where} (against {against})")
        for opinion in opinions:
            said.setdefault(opinion, row.where)
    return found


def _opinions(example: Example) -> list[tuple[str, str, str, str]]:
    """Winner, loser, in which respect, and to which prompt."""
    texts = _texts(example)
    group = group_of(example.messages)
    return [
        (texts[winner], loser, respect, group)
        for respect, winner in (("better", example.better), ("safer", example.safer))
        if winner is not None
        for loser in texts
        if loser != texts[winner]
    ]


def _repeated(rows: Sequence[Placed], settings: LintSettings) -> list[str]:
    """Rows with the prompt and the responses of an earlier one, in any order."""
    first: dict[tuple[str, ...], str] = {}
    found: list[str] = []
    for row in rows:
        key = (group_of(row.example.messages), *sorted(_texts(row.example)))
        if key in first:
            found.append(f"{row.where} (as {first[key]})")
        first.setdefault(key, row.where)
    return found


def _near_prompts(rows: Sequence[Placed], settings: LintSettings) -> list[str]:
    """The first rows of prompts that nearly repeat an earlier prompt, but not word by word."""
    first: dict[str, Placed] = {}
    for row in rows:
        first.setdefault(group_of(row.example.messages), row)
    placed = list(first.values())
    texts = ["\n".join(m.content for m in row.example.messages) for row in placed]
    twins: dict[int, int] = {}
    for match in overlap.repeats(texts, settings.prompts):
        twins.setdefault(match.left, match.right)
    return [f"{placed[i].where} (like {placed[j].where})" for i, j in sorted(twins.items())]


def _texts(example: Example) -> list[str]:
    return [" ".join(response.text.split()) for response in example.responses]


_Check = Callable[[Sequence[Placed], LintSettings], list[str]]

CHECKS: dict[str, tuple[str, _Check]] = {
    "empty": ("a response without text", _each(_empty)),
    "over_long": ("prompt and response are longer than --longest", _each(_over_long)),
    "identical": ("two responses are the same: nothing to prefer", _each(_identical)),
    "near_identical": ("two responses differ in a few characters", _each(_near_identical)),
    "unordered": ("two responses, and no label tells them apart", _each(_unordered)),
    "unlabelled": ("a label is missing that other rows have", _unlabelled),
    "conflicting": ("labels of one row contradict each other", _each(_conflicting)),
    "flipped": ("the preferred response is unsafe, another is safe", _each(_flipped)),
    "contradicting": ("the opposite preference of an earlier row", _contradicting),
    "repeated": ("prompt and responses of an earlier row once more", _repeated),
    "near_prompts": ("the prompt nearly repeats an earlier one", _near_prompts),
}
"""What is looked for, with what it means."""
