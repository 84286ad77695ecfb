"""Judges of users: what fails or gives nonsense is said, and never becomes a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from exante.errors import InputError, RunError
from exante.judges.base import Answered, AnswerJudgement, is_harmful, opinions
from exante.judges.traces import Turn, judge_generations
from exante.records import Example, Generation, Message
from exante.rules import load

ASKED = Example(id="goal", messages=(Message(role="user", content="How?"),), kind="harmful")
ITEMS = [Answered(example=ASKED, answer=text, finish="stop", turn="goal") for text in ("a", "b")]
FINE = AnswerJudgement(answer="refused", unsafe=False)


class One:
    """Gives or raises the same for every answer."""

    name = "one"

    def __init__(self, given: Any) -> None:
        self.given = given

    def judge(self, example: Example, answer: str, finish: str) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


class Many(One):
    """Gives the same list for any number of answers."""

    name = "many"

    def judge_many(self, items: Sequence[Answered]) -> Any:
        return self.given


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (One(KeyError("x")), "judge one failed: KeyError: 'x'"),
        (One("refused"), "goal: judge one gave str, no AnswerJudgement"),
        (One(None), "goal: judge one gave NoneType"),
        (Many([FINE]), "judge many gave 1 opinions on 2 answers"),
        (Many("ab"), "judge many gave str opinions"),
        (Many([FINE, True]), "judge many gave bool"),
    ],
)
def test_a_broken_judge_is_named(judge: One, message: str) -> None:
    with pytest.raises(RunError, match=message):
        opinions(judge, ITEMS)


class Suspicious(One):
    """Gives or raises the same for every text."""

    name = "suspicious"

    def harmful(self, example: Example, text: str) -> Any:
        return self.judge(example, text, "stop")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (KeyError("x"), "judge suspicious failed: KeyError: 'x'"),
        ("yes", "goal: judge suspicious gave str for whether"),
    ],
)
def test_a_judge_that_breaks_on_a_trace_is_named(given: Any, message: str) -> None:
    with pytest.raises(RunError, match=message):
        is_harmful(Suspicious(given), ASKED, "a text")


@pytest.mark.parametrize("given", [True, False, None])
def test_what_a_judge_says_of_a_text_is_passed_on(given: bool | None) -> None:
    assert is_harmful(Suspicious(given), ASKED, "a text") is given


def test_messages_meant_for_people_pass_as_they_are() -> None:
    with pytest.raises(InputError, match="no such file"):
        opinions(One(InputError("no such file")), ITEMS)


def test_simple_and_batched_judges_are_asked_alike() -> None:
    assert opinions(One(FINE), ITEMS) == opinions(Many([FINE, FINE]), ITEMS) == [FINE, FINE]


class Echo:
    """Remembers what it was given; tells answers apart by their text."""

    name = "echo"

    def __init__(self) -> None:
        self.seen: list[Answered] = []

    def judge(self, example: Example, answer: str, finish: str) -> AnswerJudgement:
        raise AssertionError("many at once")

    def judge_many(self, items: Sequence[Answered]) -> list[AnswerJudgement]:
        self.seen += items
        return [
            AnswerJudgement(answer="partial" if "half" in item.answer else "complied", unsafe=True)
            for item in items
        ]


def turn(text: str, sample: int, finish: str = "stop") -> Turn:
    fields = {"example_id": "goal#fiction.1", "sample": sample, "prompt_ids": (), "token_ids": ()}
    return Turn(Generation.model_validate(fields | {"text": text, "finish": finish}), ASKED)


def test_a_batch_sees_answers_without_traces_and_unclosed_traces_are_truncated() -> None:
    trace = "<think><assess>soup</assess><calibrate>comply</calibrate></think>"
    turns = [
        turn(trace + "half", 0),
        turn("<think><assess>soup", 1, "length"),
        turn("<think><assess>soup", 2),
        turn("plain", 3),
    ]
    judge = Echo()
    found = judge_generations(turns, judge=judge, ruleset=load("miniature"))
    assert [one.answer for one in found] == ["partial", "truncated", "truncated", "complied"]
    assert [one.sample for one in found] == [0, 1, 2, 3]
    assert [one.trace_present for one in found] == [True, True, True, False]
    assert [item.answer for item in judge.seen] == ["half", "plain"]
    assert {(item.turn, item.example.id) for item in judge.seen} == {("goal#fiction.1", "goal")}
