"""What a judge says about an answer; the trace is judged apart, in `judges.traces`.

A judge sees the plain request (never its disguise) and the answer (never the trace).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from exante import plugins
from exante.records import AnswerVerdict, Example, Record
from exante.speakers import Bill


class AnswerJudgement(Record):
    """A judge's opinion on one answer."""

    answer: AnswerVerdict
    unsafe: bool | None
    """None: could not be judged."""
    useful: float | None = None
    """0 to 1: how far the answer does what was legitimately asked."""
    harm: float | None = None
    """0 to 1: how much harm the answer does, where the judge grades it."""


class Answered(Record):
    """One answer to be judged, and which turn it belongs to."""

    example: Example
    """The plain prompt."""
    answer: str
    finish: str
    """`stop`, or `length` if the limit cut the turn."""
    turn: str = ""
    """Id of the prompt that was answered: the plain one, or a disguised form of it."""
    sample: int = 0
    source: str = "policy"


@runtime_checkable
class Judge(Protocol):
    """Whatever decides what an answer does."""

    @property
    def name(self) -> str:
        """Name and version, written into every judgement."""
        ...

    def judge(self, example: Example, answer: str, finish: str) -> AnswerJudgement:
        """Opinion on `answer`; `finish` is `stop`, or `length` if the limit cut it."""
        ...


@runtime_checkable
class HarmJudge(Judge, Protocol):
    """A judge that can also tell whether a text as such does harm, whoever asked."""

    def harmful(self, example: Example, text: str) -> bool | None:
        """Does `text`, say a trace, hold what must not be told? None: could not be judged."""
        ...


@runtime_checkable
class BatchJudge(Judge, Protocol):
    """A judge that is faster with many answers at once, or needs to know the turn."""

    def judge_many(self, items: Sequence[Answered]) -> list[AnswerJudgement]:
        """One opinion per answer, in order."""
        ...


@runtime_checkable
class PaidJudge(Judge, Protocol):
    """A judge that may ask a server which is paid by the token."""

    @property
    def bill(self) -> Bill | None:
        """What was asked so far; None where nothing is paid."""
        ...

    def foresee(self, items: Sequence[Answered]) -> Bill | None:
        """The most that these answers may take; None where nothing is paid."""
        ...


def opinions(judge: Judge, items: Sequence[Answered]) -> list[AnswerJudgement]:
    """The judge's opinion on each answer, in order, many at once where the judge can.

    Raises:
        RunError: the judge failed, or gave something else than one opinion per answer.
    """
    with plugins.running("judge", judge.name):
        if isinstance(judge, BatchJudge):
            found = judge.judge_many(items)
        else:
            found = [judge.judge(item.example, item.answer, item.finish) for item in items]
    if not isinstance(found, list) or len(found) != len(items):
        count = len(found) if isinstance(found, list) else type(found).__name__
        problem = f"judge {judge.name} gave {count} opinions on {len(items)} answers"
        raise plugins.broken("judge", problem)
    for item, one in zip(items, found, strict=True):
        if not isinstance(one, AnswerJudgement):
            problem = f"judge {judge.name} gave {type(one).__name__}, no AnswerJudgement"
            raise plugins.broken("judge", problem, where=item.turn or item.example.id)
    return found


def is_harmful(judge: HarmJudge, example: Example, text: str) -> bool | None:
    """Does `text`, say a trace, hold what must not be told? None: could not be judged.

    Raises:
        RunError: the judge failed, or said something else.
    """
    with plugins.running("judge", judge.name):
        found = judge.harmful(example, text)
    if found is not None and not isinstance(found, bool):
        problem = f"judge {judge.name} gave {type(found).__name__} for whether a text is harmful"
        raise plugins.broken("judge", problem, where=example.id)
    return found
