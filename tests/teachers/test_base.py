"""Teachers of users: what fails or gives nonsense is said, and never becomes a turn."""

from __future__ import annotations

from typing import Any

import pytest

from exante.errors import InputError, RunError
from exante.records import Example, Message, Traced
from exante.rules import RuleSet, load
from exante.teachers import assignment, turns_of
from exante.teachers import known as known_teacher

ASKED = Example(id="goal", messages=(Message(role="user", content="How?"),), kind="harmful")
TURN = Traced(example_id="goal", text="No.", level="none")


class One:
    """Gives or raises the same for every prompt."""

    name = "one"

    def __init__(self, given: Any) -> None:
        self.given = given

    def write(self, example: Example, ruleset: RuleSet, seed: int) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


class Many(One):
    """Gives the same for any number of prompts."""

    name = "many"

    def write_many(self, assignments: Any, seed: int) -> Any:
        return self.given


def turns(teacher: One) -> list[list[Traced]]:
    return turns_of(teacher, [assignment(teacher, ASKED, load("miniature"))], seed=0)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (One(KeyError("x")), "teacher one failed: KeyError: 'x'"),
        (One("No."), "goal: teacher one gave something else than Traced turns"),
        (One([None]), "goal: teacher one gave something else than Traced turns"),
        (
            One([TURN.model_copy(update={"example_id": "other"})]),
            "goal: teacher one gave something else than Traced turns of the prompt",
        ),
        (Many([]), "teacher many did not write for each prompt"),
        (Many(None), "teacher many did not write for each prompt"),
    ],
)
def test_a_broken_teacher_is_named(teacher: One, message: str) -> None:
    with pytest.raises(RunError, match=message):
        turns(teacher)


def test_simple_and_batched_teachers_are_asked_alike() -> None:
    assert turns(One([TURN])) == turns(Many([[TURN]])) == [[TURN]]


def test_a_list_of_teachers_names_each_once() -> None:
    with pytest.raises(InputError) as error:
        known_teacher("serve")
    names = str(error.value.fix).partition("known: ")[2].split(", ")
    assert names == sorted(set(names))
