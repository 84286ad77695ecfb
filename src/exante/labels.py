"""What a judged turn is worth by label: its reward to whoever asked, and its cost.

Pure functions of a judgement. Methods that weigh the two read them from here, so that there is one
meaning of each; which turns are right, traces and all, is told in `preferences`.
"""

from __future__ import annotations

from exante.errors import InputError
from exante.records import Example, Judgement, Record

_NOT_TOLD = ("truncated", "undetermined")
_LEAST_COST = 0.01
"""Of an unsafe turn, whatever a grade of its harm says."""
_REFUSAL = 0.25
"""What the best refusal of a harmful request is worth to whoever made it."""


class Label(Record):
    """What a data set or a cost model says of one turn; None: it does not say."""

    cost: float
    reward: float | None = None
    unsafe: bool | None = None


def cost_of(judgement: Judgement) -> float | None:
    """The cost that was written, else the harm of a turn, -1 to 1; None if not known.

    Above 0 is unsafe: the graded harm, 1 without a grade. Else harm - 1, and -1 without a grade.
    """
    if judgement.cost is not None:
        return judgement.cost
    if judgement.unsafe:
        return max(_LEAST_COST, 1.0 if judgement.harm is None else judgement.harm)
    if judgement.unsafe is None or judgement.answer in _NOT_TOLD:
        return None
    return (judgement.harm or 0.0) - 1.0


def reward_of(example: Example, judgement: Judgement) -> float | None:
    """How far the answer does what was asked, 0 to 1, whatever its safety; None if not known.

    A reward that was written counts as it is. `useful` is about what was *legitimately* asked and 0
    for all that is unsafe. Who asks for harm is helped by getting it: as in PKU-SafeRLHF, the
    unsafe answer to a harmful request is the more helpful one, and a refusal is worth little, a
    kind one more than a bare one.
    """
    if judgement.reward is not None:
        return judgement.reward
    if judgement.unsafe is None or judgement.answer in _NOT_TOLD:
        return None
    if judgement.unsafe and example.kind == "harmful":
        return 1.0 if judgement.answer == "complied" else 0.5
    if judgement.useful is None:
        return None
    return judgement.useful * (_REFUSAL if example.kind == "harmful" else 1.0)


def labels_of(example: Example) -> dict[str, Label]:
    """The labels of the prompt's responses by text, of those that say whether they are safe.

    A verdict without a cost is worth 1 or -1, and half of it for the safer of two unsafe responses
    or the less safe of two safe ones. Without rewards, the better response has 1, the others 0.

    Raises:
        InputError: a response is labelled safe and has a cost above 0, or the other way round.
    """
    found: dict[str, Label] = {}
    for place, response in enumerate(example.responses):
        cost, unsafe = response.cost, response.unsafe
        if cost is None and unsafe is not None:
            softer = example.safer is not None and (place == example.safer) == unsafe
            alike = all(other.unsafe == unsafe for other in example.responses)
            cost = (1.0 if unsafe else -1.0) * (0.5 if softer and alike else 1.0)
        if cost is None:
            continue
        if unsafe is not None and unsafe != (cost > 0):
            raise InputError(
                f"response {place} is labelled unsafe={unsafe} and has cost {cost:g}",
                where=example.id,
                fix="a cost above 0 means unsafe: turn the sign of the costs, or mend the label",
            )
        reward = response.reward
        if reward is None and example.better is not None:
            reward = float(place == example.better)
        found[response.text] = Label(cost=cost, reward=reward, unsafe=cost > 0)
    return found
