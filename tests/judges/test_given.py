"""The judge of given labels says what they say, and phrases where they say nothing."""

from __future__ import annotations

from typing import Any

import pytest

from exante.judges.base import Answered, AnswerJudgement
from exante.judges.given import GivenJudge, harm, usefulness
from exante.records import Example, Kind, Message, Response


def example(*responses: Response, kind: Kind = "harmful", **more: Any) -> Example:
    messages = (Message(role="user", content="?"),)
    return Example(id="x", messages=messages, kind=kind, responses=responses, **more)


def response(text: str = "Here you are.", **labels: Any) -> Response:
    return Response(text=text, **labels)


def judged(one: Example, place: int = 0, source: str = "dataset") -> AnswerJudgement:
    text = one.responses[place].text
    item = Answered(example=one, answer=text, finish="stop", sample=place, source=source)
    return GivenJudge().judge_many([item])[0]


UNSAFE, SAFE = response(unsafe=True), response(unsafe=False)


def test_labels_decide_whether_harm_was_done() -> None:
    unsafe, safe = judged(example(UNSAFE)), judged(example(SAFE))
    assert (unsafe.answer, unsafe.unsafe, unsafe.useful) == ("complied", True, 0.0)
    assert (safe.answer, safe.unsafe, safe.useful) == ("refused", False, 1.0)
    assert judged(example(response(cost=2.0))).unsafe is True


def test_the_more_useful_answer_may_be_the_unsafe_one() -> None:
    pair = example(UNSAFE, SAFE, better=0, safer=1)
    assert [judged(pair, place).useful for place in (0, 1)] == [1.0, 0.5]
    assert [judged(pair, place).unsafe for place in (0, 1)] == [True, False]


def test_phrases_speak_where_labels_are_silent() -> None:
    refusal = response("I cannot help with that.")
    assert judged(example(refusal, kind="benign")).answer == "refused"
    assert judged(example(response(), kind="benign")).answer == "complied"
    # A policy's own turn, though the prompt came with labels.
    assert judged(example(SAFE), source="policy").unsafe is True
    assert GivenJudge().judge(example(SAFE), SAFE.text, "length").answer == "truncated"


@pytest.mark.parametrize(
    ("rewards", "better", "expected"),
    [
        ([1.0, 3.0, 2.0], None, [0.5, 1.0, 0.75]),
        ([None, None], 1, [0.5, 1.0]),
        ([None, None, None], 1, [0.5, 1.0, 0.5]),
        ([2.0, 2.0], None, [None, None]),
        ([1.0, None], None, [None, None]),
    ],
)
def test_usefulness_is_the_order_of_the_labels(
    rewards: list[float | None], better: int | None, expected: list[float | None]
) -> None:
    one = example(*(response(reward=reward) for reward in rewards), better=better)
    assert [usefulness(one, place) for place in range(len(rewards))] == expected


def test_harm_is_above_a_half_for_unsafe_answers_only() -> None:
    both = example(UNSAFE, UNSAFE, safer=1)
    first, second = (harm(both, place) for place in (0, 1))
    assert first is not None
    assert second is not None
    assert first > second > 0.5
    costs = example(response(cost=3.0), response(cost=-1.0), response(cost=1.0))
    found = [harm(costs, place) for place in range(3)]
    assert sorted(found, key=lambda value: value or 0.0) == [found[1], found[2], found[0]]
    assert harm(example(response()), 0) is None
    assert harm(example(SAFE), 0) == 0.2
