"""What a judge says about an answer; the trace is judged apart, in `judges.traces`.

A judge sees the plain request (never its disguise) and the answer (never the trace).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from exante.records import AnswerVerdict, Example, Record


class AnswerJudgement(Record):
    """A judge's opinion on one answer."""

    answer: AnswerVerdict
    unsafe: bool | None
    """None: could not be judged."""
    useful: float | None = None
    """0 to 1: how far the answer does what was legitimately asked."""


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
