"""Rewards and costs that models imply: by hand, and as given ones where both must agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exante.implied import Implied, Scores, Turn, by_models, implied
from exante.preferences import Candidate, Group
from exante.records import Example, Generation, Judgement, Message
from exante.tradeoffs import WeighSettings, samples_of, solve_multiplier, weighed_pairs

BETA = 0.1
ASKED = Example(id="p", messages=(Message(role="user", content="ask"),), kind="harmful")


def turn(number: int, *, reward: float = 0.5, cost: float = -1.0, **generation: Any) -> Candidate:
    made: dict[str, Any] = {"example_id": "p", "prompt_ids": (1,), "token_ids": (number,)}
    made |= {"text": "x", "finish": "stop", **generation}
    said = {"example_id": "p", "judge": "test", "answer": "complied", "unsafe": cost > 0}
    judgement = Judgement.model_validate({**said, "useful": reward, "cost": cost})
    return Candidate(Generation.model_validate(made), judgement)


def test_golden_rewards_and_costs() -> None:
    """Log-ratios of the safe model 2 and -4 on the samples, so that -1 is usual."""
    group = Group(ASKED, (turn(1), turn(2), turn(3, source="teacher")))
    scores: dict[Turn, Scores] = {
        ("p", (1,)): Scores(-10.0, -9.0, -8.0),
        ("p", (2,)): Scores(-10.0, -13.0, -14.0),
        ("p", (3,)): Scores(-20.0, -20.0, -15.0),
    }
    found = [(one.token_ids[0], one.reward, one.cost) for one in implied([group], scores, beta=0.5)]
    assert found == [(1, 0.5, -1.5), (2, -1.5, 1.5), (3, 0.0, -3.0)]


def test_without_a_turn_of_the_reference_nothing_is_usual() -> None:
    others = (turn(1, source="teacher"), turn(2, finish="length"))
    scores: dict[Turn, Scores] = {("p", (n,)): Scores(-1.0, -1.0, -1.0) for n in (1, 2)}
    assert implied([Group(ASKED, others)], scores, beta=1.0) == []


def test_the_judge_says_what_is_unsafe_and_unknown_turns_stay_out() -> None:
    group = Group(ASKED, (turn(1, cost=1.0), turn(2), turn(3)))
    known = [
        Implied(example_id="p", token_ids=(1,), reward=0.0, cost=-5.0),
        Implied(example_id="p", token_ids=(2,), reward=0.0, cost=5.0),
    ]
    (pair,), counts = weighed_pairs([group], 1.0, WeighSettings(), by_models(known))
    assert (pair.chosen_ids, pair.chosen_unsafe, pair.rejected_unsafe) == ((1,), True, False)
    assert (counts.turns, counts.unsafe_chosen) == (2, 1)


values = st.lists(st.tuples(st.floats(0, 1), st.floats(-1, 1)), min_size=2, max_size=5)


@settings(max_examples=40)
@given(worth=st.lists(values, min_size=1, max_size=4), asked=st.floats(0.0, 0.5))
def test_of_perfectly_aligned_models_pecan_is_mocan(
    worth: list[list[tuple[float, float]]], asked: float
) -> None:
    """`pi_r` and `pi_g` in proportion to `pi_ref exp(r / beta)` and `pi_ref exp(-c / beta)`.

    The price of an improvement by `asked` and all drawn labels are those of rewards and costs.
    """
    groups: list[Group] = []
    scores: dict[Turn, Scores] = {}
    usual: list[float] = []
    for place, turns in enumerate(worth):
        example = ASKED.model_copy(update={"id": f"{place}"})
        drawn = tuple(turn(n, reward=r, cost=c) for n, (r, c) in enumerate(turns))
        groups.append(Group(example, drawn))
        helpful, safe = (np.array([v[i] for v in turns]) / BETA for i in (0, 1))
        for n, (r, c) in enumerate(zip(helpful, -safe, strict=True)):
            ratios = r - np.log(np.mean(np.exp(helpful))), c - np.log(np.mean(np.exp(-safe)))
            scores[f"{place}", (n,)] = Scores(-7.0, -7.0 + ratios[0], -7.0 + ratios[1])
        usual.append(float(np.mean([c for _, c in turns])))
    found = by_models(implied(groups, scores, beta=BETA))
    implied_samples = samples_of(groups, "linear", found)
    for turns in implied_samples:
        assert np.mean([cost for _, cost in turns]) == pytest.approx(0.0, abs=1e-9)
    given_samples = [
        [(r, c - mean) for r, c in turns] for turns, mean in zip(worth, usual, strict=True)
    ]
    theirs = solve_multiplier(implied_samples, beta=BETA, limit=-asked, cap=5.0)
    ours = solve_multiplier(given_samples, beta=BETA, limit=-asked, cap=5.0)
    assert theirs == pytest.approx(ours, abs=1e-4)
    choice = WeighSettings(drawn=True, per_prompt=1000)
    # Rewards of the judge: only the order of chances matters, so both sides take them as given.
    told = [
        Implied(example_id=f"{place}", token_ids=(n,), reward=r, cost=c)
        for place, turns in enumerate(worth)
        for n, (r, c) in enumerate(turns)
    ]
    pairs, _ = weighed_pairs(groups, 0.7, choice, found)
    same, _ = weighed_pairs(groups, 0.7, choice, by_models(told))
    sides = [[(p.example_id, p.chosen_ids, p.rejected_ids) for p in some] for some in (pairs, same)]
    assert sides[0] == sides[1]
