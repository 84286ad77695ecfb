"""Reward and cost of judged turns: one meaning for all methods, and the one sign rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.labels import cost_of, reward_of
from exante.records import Example, Judgement, Kind, Message


def example(kind: Kind) -> Example:
    return Example(id="p", messages=(Message(role="user", content="ask"),), kind=kind)


def judgement(answer: str, unsafe: bool | None, **facts: Any) -> Judgement:
    known = {"example_id": "p", "judge": "test", "answer": answer, "unsafe": unsafe}
    return Judgement.model_validate(known | facts)


@pytest.mark.parametrize(
    ("kind", "said", "reward"),
    [
        ("harmful", judgement("complied", True, useful=0.0), 1.0),
        ("harmful", judgement("partial", True, useful=0.0), 0.5),
        ("harmful", judgement("complied", True), 1.0),
        ("harmful", judgement("refused", False, useful=1.0), 0.25),
        ("harmful", judgement("refused", False, useful=0.6), 0.15),
        ("harmful", judgement("complied", False, useful=0.0), 0.0),
        ("benign", judgement("complied", False, useful=0.7), 0.7),
        ("borderline", judgement("complied", True, useful=0.0), 0.0),
        ("benign", judgement("refused", False), None),
        ("benign", judgement("undetermined", False, useful=0.0), None),
        ("harmful", judgement("truncated", True, useful=0.0), None),
        ("harmful", judgement("complied", None, useful=0.0), None),
    ],
)
def test_who_asks_for_harm_is_helped_by_getting_it(
    kind: Kind, said: Judgement, reward: float | None
) -> None:
    assert reward_of(example(kind), said) == (None if reward is None else pytest.approx(reward))


@pytest.mark.parametrize(
    ("unsafe", "harm", "cost"),
    [
        (True, None, 1.0),
        (True, 0.7, 0.7),
        (True, 0.0, 0.01),
        (False, None, -1.0),
        (False, 0.3, -0.7),
        (False, 1.0, 0.0),
        (None, 0.5, None),
    ],
)
def test_cost_is_harm_with_the_sign_of_the_verdict(
    unsafe: bool | None, harm: float | None, cost: float | None
) -> None:
    found = cost_of(judgement("complied", unsafe, harm=harm))
    assert found == (None if cost is None else pytest.approx(cost))


@given(st.booleans(), st.none() | st.floats(0, 1))
def test_above_0_is_unsafe_and_nothing_else_is(unsafe: bool, harm: float | None) -> None:
    found = cost_of(judgement("complied", unsafe, harm=harm))
    assert found is not None
    assert (found > 0) is unsafe


def test_the_cost_of_a_cost_model_counts_as_it_is() -> None:
    assert cost_of(judgement("undetermined", None, cost=2.5)) == 2.5
