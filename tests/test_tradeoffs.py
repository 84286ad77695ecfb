"""Turns weighed by reward and cost: labels, pairs at a price, and the price that a limit needs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exante.preferences import Candidate, Group
from exante.records import Example, Generation, Judgement, Kind, Message, Pair
from exante.tradeoffs import (
    Samples,
    WeighSettings,
    expected_cost,
    samples_of,
    solve_multiplier,
    weighed_pairs,
)

ALL = WeighSettings(per_prompt=1000)


def example(kind: Kind = "benign", **fields: Any) -> Example:
    return Example(id="p", messages=(Message(role="user", content="ask"),), kind=kind, **fields)


def judgement(**facts: Any) -> Judgement:
    known = {"example_id": "p", "judge": "test", "answer": "complied", "unsafe": False}
    return Judgement.model_validate(known | facts)


def turn(number: int, reward: float, cost: float, **generation: Any) -> Candidate:
    made: dict[str, Any] = {
        "example_id": "p",
        "prompt_ids": (1,),
        "token_ids": (number,),
        "text": "x",
        "finish": "stop",
    }
    opinion = judgement(unsafe=cost > 0, useful=reward, cost=cost)
    return Candidate(Generation.model_validate(made | generation), opinion)


def order(pairs: list[Pair]) -> set[tuple[int, int]]:
    return {(pair.chosen_ids[0], pair.rejected_ids[0]) for pair in pairs}


HARMFUL, TIMID, FINE = turn(1, 1.0, 1.0), turn(2, 0.2, -3.0), turn(3, 0.5, -1.0)
GROUP = Group(example(), (HARMFUL, TIMID, FINE))


def test_a_price_reverses_pairs_and_rectified_costs_pay_for_no_caution() -> None:
    linear, counts = weighed_pairs([GROUP], 0.0, ALL)
    assert order(linear) == {(1, 2), (1, 3), (3, 2)}
    assert (counts.unsafe_chosen, counts.swapped) == (2, 0)
    assert all(pair.chosen_unsafe for pair in linear if pair.chosen_ids == (1,))
    linear, counts = weighed_pairs([GROUP], 1.0, ALL)
    assert order(linear) == {(2, 1), (3, 1), (2, 3)}
    assert (counts.unsafe_chosen, counts.swapped) == (0, 3)
    relu = WeighSettings(per_prompt=1000, shape="relu")
    assert order(weighed_pairs([GROUP], 1.0, relu)[0]) == {(2, 1), (3, 1), (3, 2)}


def test_kinds_and_flags_follow_the_cost() -> None:
    pairs, counts = weighed_pairs([GROUP], 1.0, ALL)
    assert counts.kept_by_kind == {"safety": 3, "usefulness": 0, "efficiency": 0}
    assert [(p.chosen_unsafe, p.rejected_unsafe) for p in pairs].count((False, True)) == 2
    assert all(p.margin == 0.0 and p.weight == 1.0 for p in pairs)


def test_safety_pairs_stand_beside_what_is_preferred() -> None:
    both = WeighSettings(per_prompt=1000, safety_pairs=True)
    pairs, _ = weighed_pairs([GROUP], 0.0, both)
    assert order(pairs) == {(1, 2), (1, 3), (3, 2), (2, 1), (3, 1)}
    pairs, _ = weighed_pairs([GROUP], 1.0, both)
    assert len(pairs) == 3


def test_what_cannot_be_weighed_is_counted() -> None:
    unknown = Candidate(turn(4, 0, 0).generation, judgement(unsafe=None))
    cut, same = turn(5, 1.0, -1.0, finish="length"), turn(6, 0.5, -1.0)
    group = Group(example(), (FINE, unknown, cut, same, FINE))
    pairs, counts = weighed_pairs([group], 1.0, ALL)
    assert not pairs
    assert (counts.turns, counts.tied) == (2, 1)
    assert (counts.prompts, counts.without_contrast, counts.made) == (1, 1, 0)


def test_the_cap_of_a_prompt_holds_and_the_seed_decides() -> None:
    turns = tuple(turn(n, n / 10, -1.0) for n in range(8))
    group = Group(example(), turns)
    one, counts = weighed_pairs([group], 1.0, WeighSettings(per_prompt=3, seed=1))
    assert (counts.kept, counts.over_prompt_cap) == (3, 25)
    assert one == weighed_pairs([group], 1.0, WeighSettings(per_prompt=3, seed=1))[0]
    assert order(one) != order(weighed_pairs([group], 1.0, WeighSettings(per_prompt=3, seed=2))[0])


def test_drawn_labels_follow_the_chance_of_bradley_terry() -> None:
    some = WeighSettings(drawn=True, unit=2.0)
    groups = [
        Group(example().model_copy(update={"id": f"{n}"}), (turn(1, 1.0, 0.0), turn(2, 0.5, 0.0)))
        for n in range(1500)
    ]
    pairs, counts = weighed_pairs(groups, 1.0, some)
    share = sum(pair.chosen_ids == (1,) for pair in pairs) / 1500
    assert share == pytest.approx(1 / (1 + math.exp(-1.0)), abs=0.03)
    assert counts.swapped == 1500 - round(share * 1500)
    sharp, _ = weighed_pairs(groups, 1.0, some.model_copy(update={"unit": 1e6}))
    assert order(sharp) == {(1, 2)}


def dual(samples: Samples, price: float, beta: float, limit: float) -> float:
    """D(m) = beta * E_x log mean_y exp((r + m * (limit - c)) / beta), the plain way."""
    logs = [
        math.log(np.mean([math.exp((r + price * (limit - c)) / beta) for r, c in turns]))
        for turns in samples
    ]
    return beta * float(np.mean(logs))


def test_golden_prices() -> None:
    """Two turns (r, c) = (1, 1), (0, -1): the chance of the first is sigmoid((1 - 2 m) / beta)."""
    samples = [[(1.0, 1.0), (0.0, -1.0)]]
    assert solve_multiplier(samples, beta=0.1, limit=0.0, cap=9) == pytest.approx(0.5)
    quarter = solve_multiplier(samples, beta=0.1, limit=-0.5, cap=9)
    assert quarter == pytest.approx((1 + 0.1 * math.log(3)) / 2)
    assert expected_cost(samples, quarter, beta=0.1) == pytest.approx(-0.5)
    assert solve_multiplier(samples, beta=0.1, limit=0.9999, cap=9) == pytest.approx(
        (1 - 0.1 * math.log(19999)) / 2, abs=1e-6
    )


def test_a_limit_that_holds_anyway_is_free_and_one_out_of_reach_costs_the_cap() -> None:
    safe, unsafe = [[(1.0, -1.0), (0.0, -2.0)]], [[(1.0, 1.0), (0.0, 0.5)]]
    assert solve_multiplier(safe, beta=0.1, limit=0.0, cap=9.0) == 0.0
    assert solve_multiplier(unsafe, beta=0.1, limit=0.0, cap=9.0) == 9.0


turns = st.lists(st.tuples(st.floats(0, 1), st.floats(-1, 1)), min_size=1, max_size=4)


@settings(max_examples=40)
@given(samples=st.lists(turns, min_size=1, max_size=4), limit=st.floats(-0.9, 0.9))
def test_the_price_is_a_minimum_of_the_dual(samples: Samples, limit: float) -> None:
    price = solve_multiplier(samples, beta=0.5, limit=limit, cap=8.0)
    least = dual(samples, price, 0.5, limit)
    for other in np.linspace(0, 8, 33):
        assert least <= dual(samples, float(other), 0.5, limit) + 1e-6


def test_the_dual_is_about_the_references_own_samples_as_often_as_they_came() -> None:
    teachers = turn(9, 0.0, -1.0, source="teacher")
    group = Group(example(), (HARMFUL, HARMFUL, TIMID, teachers))
    assert samples_of([group], "relu") == [[(1.0, 1.0), (1.0, 1.0), (0.2, 0.0)]]
    assert samples_of([Group(example(), (teachers,))], "linear") == []
