"""What a teacher is: whoever writes the turns that a model learns from, to imitate or to reject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from exante import plugins
from exante.records import Example, Traced
from exante.rules import RuleSet
from exante.speakers import Bill


class Assignment(NamedTuple):
    """One prompt to write for, and the rules to go by."""

    example: Example
    rules: RuleSet


@runtime_checkable
class Teacher(Protocol):
    """Writes traces and answers under a rule set."""

    @property
    def name(self) -> str:
        """Name and version, written beside what the teacher wrote."""
        ...

    def write(self, example: Example, ruleset: RuleSet, seed: int) -> list[Traced]:
        """Right turns at the levels full, brief and terse, then negative thoughts.

        Same arguments, same turns. What a teacher cannot write it leaves out.
        """
        ...


@runtime_checkable
class BatchTeacher(Teacher, Protocol):
    """A teacher that is faster with many prompts at once."""

    def write_many(self, assignments: Sequence[Assignment], seed: int) -> list[list[Traced]]:
        """What `write` gives for each assignment, in order."""
        ...


@runtime_checkable
class SelectiveTeacher(Teacher, Protocol):
    """A teacher that goes by a part of the rules only, and says by which."""

    def concerns(self, example: Example, ruleset: RuleSet) -> RuleSet:
        """The part of the rules that the teacher is to be given for this prompt."""
        ...


@runtime_checkable
class PaidTeacher(Teacher, Protocol):
    """A teacher that may ask a server which is paid by the token."""

    @property
    def bill(self) -> Bill | None:
        """What was asked so far; None where nothing is paid."""
        ...

    def foresee(self, assignments: Sequence[Assignment]) -> Bill | None:
        """The most that these prompts may take; None where nothing is paid."""
        ...


def assignment(teacher: Teacher, example: Example, ruleset: RuleSet) -> Assignment:
    """The prompt with the rules that the teacher goes by: without a word of its own, all of them.

    Their version is 1 whatever the file says, so that what is written depends on the clauses alone.
    """
    if isinstance(teacher, SelectiveTeacher):
        return Assignment(example, teacher.concerns(example, ruleset))
    return Assignment(example, ruleset.only([category.id for category in ruleset.categories]))


def turns_of(teacher: Teacher, assignments: Sequence[Assignment], seed: int) -> list[list[Traced]]:
    """The teacher's turns for each assignment, in order, many at once where the teacher can.

    Raises:
        RunError: the teacher failed, or gave something else than a list of the prompt's turns for
            each prompt.
    """
    with plugins.running("teacher", teacher.name):
        if isinstance(teacher, BatchTeacher):
            found = teacher.write_many(assignments, seed)
        else:
            found = [teacher.write(one.example, one.rules, seed) for one in assignments]
    if not isinstance(found, list) or len(found) != len(assignments):
        raise plugins.broken("teacher", f"teacher {teacher.name} did not write for each prompt")
    for (example, _), turns in zip(assignments, found, strict=True):
        if not _are_turns(turns, example):
            problem = f"teacher {teacher.name} gave something else than Traced turns of the prompt"
            raise plugins.broken("teacher", problem, where=example.id)
    return found


def _are_turns(turns: object, example: Example) -> bool:
    return isinstance(turns, list) and all(
        isinstance(turn, Traced) and turn.example_id == example.id for turn in turns
    )
