"""Estimates against values from the literature, by hand, or from properties they must have."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante import estimates
from exante.estimates import NOTHING, Estimate

VERDICTS = st.lists(st.booleans(), min_size=2, max_size=30)


def bounds(estimate: Estimate) -> tuple[float, float, float]:
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.value, estimate.high


def test_wilson_golden_values() -> None:
    """Newcombe 1998, table I, method 3: 81/263 and 0/20; 1/29."""
    assert bounds(estimates.wilson(81, 263)) == pytest.approx((0.2553, 0.3080, 0.3662), abs=1e-4)
    assert bounds(estimates.wilson(0, 20)) == pytest.approx((0.0, 0.0, 0.1611), abs=1e-4)
    assert bounds(estimates.wilson(1, 29)) == pytest.approx((0.0061, 0.0345, 0.1718), abs=1e-4)


@given(st.integers(0, 400), st.integers(1, 400))
def test_wilson_holds_its_value_and_mirrors(successes: int, n: int) -> None:
    successes = min(successes, n)
    low, value, high = bounds(estimates.wilson(successes, n))
    assert 0 <= low <= value <= high <= 1
    assert low < high
    mirrored = bounds(estimates.wilson(n - successes, n))
    assert mirrored == pytest.approx((1 - high, 1 - value, 1 - low))


def test_nothing_seen_is_no_number() -> None:
    assert estimates.wilson(0, 0) == NOTHING
    assert estimates.mean([]) == NOTHING
    assert estimates.macro({}) == NOTHING == estimates.union({"direct": {}})
    assert estimates.ratio_of_totals([0.0], [0.0]) == NOTHING


def test_mean_covers_like_the_normal_interval() -> None:
    """1..100: standard error 2.90, so about 50.5 +- 5.69; the seed decides the rest."""
    values = [float(i) for i in range(1, 101)]
    assert bounds(estimates.mean(values)) == pytest.approx((44.8, 50.5, 56.2), abs=0.5)
    assert estimates.mean(values, seed=1) == estimates.mean(values, seed=1)
    assert estimates.mean(values, seed=1) != estimates.mean(values, seed=2)


def test_clusters_of_equal_values_count_once() -> None:
    """Each of 50 values, ten times: clustered as wide as the 50, unclustered about 1/sqrt(10)."""
    values = [float(i) for i in range(50)]
    many = [v for v in values for _ in range(10)]
    low, _, high = bounds(estimates.mean(many, groups=[int(v) for v in many]))
    single_low, _, single_high = bounds(estimates.mean(values))
    assert high - low == pytest.approx(single_high - single_low, rel=0.01)
    naive_low, _, naive_high = bounds(estimates.mean(many))
    assert (high - low) / (naive_high - naive_low) == pytest.approx(math.sqrt(10), rel=0.15)


def test_ratio_of_totals_is_not_the_mean_of_ratios() -> None:
    """(1 + 90) / (2 + 100), where the mean of ratios would be .7; equal ratios leave no doubt."""
    assert bounds(estimates.ratio_of_totals([1, 90], [2, 100]))[1] == pytest.approx(91 / 102)
    assert bounds(estimates.ratio_of_totals([1, 5, 40], [2, 10, 80])) == (0.5, 0.5, 0.5)


def test_ratio_of_totals_wants_pairs() -> None:
    with pytest.raises(ValueError, match="belong together"):
        estimates.ratio_of_totals([1.0], [1.0, 2.0])


def test_paired_difference_golden_value() -> None:
    found = estimates.paired_difference([1, 1, 0, 1], [1, 0, 0, 0])
    assert found.value == -0.5
    assert found.n == 4
    with pytest.raises(ValueError, match="shorter"):
        estimates.paired_difference([1.0], [])


def test_macro_weighs_families_alike() -> None:
    """Rates 1/2 of two and 0 of four: mean .25, though only 1 of 6 prompts succeeded."""
    found = estimates.macro(
        {"a": {"g1": True, "g2": False}, "b": {f"g{i}": False for i in range(4)}}
    )
    assert (found.value, found.n) == (0.25, 6)


def test_macro_interval_knows_repeated_goals() -> None:
    """Families that always agree say no more than one family; independent ones say more."""
    one = {f"g{i}": i < 10 for i in range(40)}
    same = estimates.macro({"a": one, "b": one, "c": one})
    assert bounds(same) == pytest.approx(bounds(estimates.wilson(10, 40)), abs=0.01)
    spread = {k: {f"g{i}": (i + 10 * k) % 40 < 10 for i in range(40)} for k in range(4)}
    low, value, high = bounds(estimates.macro({str(k): v for k, v in spread.items()}))
    assert value == 0.25
    assert high - low < 0.16


def test_macro_golden_effective_number() -> None:
    """By hand: deviations (5, 1, -3, -3) / 32, variance 4/3 * 44/1024, so 4.09 items."""
    a = {"g1": True, "g2": True, "g3": False, "g4": False}
    b = {"g1": True, "g2": False, "g3": False, "g4": False}
    effective = 0.375 * 0.625 / (4 / 3 * 44 / 1024)
    expected = estimates.wilson(0.375 * effective, effective)
    assert 4 < effective < 8
    assert bounds(estimates.macro({"a": a, "b": b})) == pytest.approx(bounds(expected))


def test_macro_of_no_success_counts_goals_and_not_prompts() -> None:
    none = {f"g{i}": False for i in range(50)}
    found = estimates.macro({"a": none, "b": none})
    assert found.high == estimates.wilson(0, 50).high
    assert found.n == 100


@given(st.lists(VERDICTS, min_size=1, max_size=4))
def test_union_is_at_least_every_family_and_macro_inside(families: list[list[bool]]) -> None:
    table = {str(k): {f"g{i}": v for i, v in enumerate(f)} for k, f in enumerate(families)}
    low, value, high = bounds(estimates.macro(table))
    assert 0 <= low <= value + 1e-9
    assert value <= high + 1e-9
    assert high <= 1
    goals = max(map(len, families))
    assert bounds(estimates.union(table))[1] >= max(sum(f) / goals for f in families) - 1e-12


def test_mcnemar_golden_values() -> None:
    """By hand: 2 * (1 + 10) / 2^10 for 1 against 9; no difference and even splits give 1."""
    assert estimates.mcnemar_exact(1, 9) == pytest.approx(22 / 1024)
    assert estimates.mcnemar_exact(0, 0) == estimates.mcnemar_exact(4, 4) == 1.0


def test_holm_golden_values() -> None:
    """By hand: .01 * 4, .02 * 3 = .06, .03 * 2 = .06, .04 * 1 raised to .06."""
    assert estimates.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert estimates.holm([]) == []
    assert estimates.holm([0.9, 0.8]) == [1.0, 1.0]


def test_not_worse_golden_bound_without_change() -> None:
    """Tango with no item differing: z^2 / (n + z^2), z = 1.6449, n = 100."""
    found = estimates.not_worse([False] * 100, [False] * 100, margin=0.03)
    assert found.ok
    assert found.bound == pytest.approx(2.7055 / 102.7055, abs=1e-4)
    assert not estimates.not_worse([False] * 100, [False] * 100, margin=0.02).ok


def test_not_worse_bound_solves_the_score_equation() -> None:
    """At the bound the score is -1.6449, with the nuisance rate found by brute force."""
    n, broken, mended = 60, 5, 2
    before = [True] * mended + [False] * (n - mended)
    after = [False] * (n - broken) + [True] * broken
    delta = estimates.not_worse(before, after, margin=0.1).bound

    def likelihood(rate: float) -> float:
        rest = 1 - 2 * rate - delta
        return broken * math.log(rate + delta) + mended * math.log(rate) + 53 * math.log(rest)

    rate = max((i / 100_000 for i in range(1, 40_000)), key=likelihood)
    score = (broken - mended - n * delta) / math.sqrt(n * (2 * rate + delta * (1 - delta)))
    assert score == pytest.approx(-1.6449, abs=2e-3)


@given(VERDICTS, st.data())
def test_more_failures_never_look_better(before: list[bool], data: st.DataObject) -> None:
    after = data.draw(st.lists(st.booleans(), min_size=len(before), max_size=len(before)))
    found = estimates.not_worse(before, after, margin=0.1)
    assert found.difference <= found.bound + 1e-8
    assert found.bound <= 1
    worse = list(after)
    worse[0] = True
    assert estimates.not_worse(before, worse, margin=0.1).bound >= found.bound - 1e-6


def test_a_planted_regression_is_not_let_through() -> None:
    """Five of 300 items break, margin 2 %: the rise alone is below the margin, its bound is not."""
    before = [False] * 300
    after = [True] * 5 + [False] * 295
    found = estimates.not_worse(before, after, margin=0.02)
    assert not found.ok
    assert found.difference < 0.02
    assert "not below" in found.why


@pytest.mark.parametrize(("broken", "mended", "ok"), [(5, 0, False), (4, 0, True), (5, 1, True)])
def test_a_rise_within_the_margin_fails_once_it_is_certain(
    broken: int, mended: int, ok: bool
) -> None:
    """Sign test: five of five is 1/32, below 5 %; four of four 1/16, five of six 7/64 are not."""
    before = [True] * mended + [False] * (256 - mended)
    after = [False] * (256 - broken) + [True] * broken
    found = estimates.not_worse(before, after, margin=0.1)
    assert found.bound < 0.1
    assert found.ok is ok
    assert found.why.endswith("but a rise is certain") is not ok


def test_without_items_nothing_is_shown() -> None:
    assert not estimates.not_worse([], [], margin=1.0).ok


@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=9), k=st.integers(1, 6))
def test_success_at_k_is_the_mean_over_all_choices(counts: list[int], k: int) -> None:
    """By counting; section 2.1 of arXiv 2107.03374."""
    found = estimates.at_k(counts, 6, k)
    for count, value in zip(counts, found, strict=True):
        turns = [True] * count + [False] * (6 - count)
        choices = list(itertools.combinations(turns, k))
        assert value == pytest.approx(sum(map(any, choices)) / len(choices))


def test_success_at_k_needs_k_samples() -> None:
    with pytest.raises(ValueError, match="k is 5"):
        estimates.at_k([1], 4, 5)
    with pytest.raises(ValueError, match="outside"):
        estimates.at_k([5], 4, 2)


def test_seeds_widen_an_interval_by_their_standard_error() -> None:
    items = Estimate(value=0.5, low=0.47, high=0.54, n=100)
    low, _, high = bounds(estimates.widened(items, [0.4, 0.6]))
    seeds = 1.959964 * 0.1  # standard deviation 0.1414 over the root of two
    assert 0.5 - low == pytest.approx(math.hypot(0.03, seeds), abs=1e-6)
    assert high - 0.5 == pytest.approx(math.hypot(0.04, seeds), abs=1e-6)
    assert estimates.widened(items, [0.5]) == items
    assert bounds(estimates.widened(items, [0.5, 0.5, 0.5])) == pytest.approx((0.47, 0.5, 0.54))
    assert bounds(estimates.widened(items, [0.0, 1.0], most=1.0)) == (0.0, 0.5, 1.0)


def test_one_seed_is_the_mean_over_families_and_goals_of_several_are_clustered() -> None:
    run = {"a": {f"g{n}": n < 3 for n in range(12)}, "b": {f"g{n}": n < 6 for n in range(12)}}
    assert estimates.over_seeds([run]) == estimates.macro(run)
    twice = bounds(estimates.over_seeds([run, run]))
    assert twice == pytest.approx(bounds(estimates.macro(run)), abs=1e-9)
    assert estimates.over_seeds([]) == NOTHING


@given(st.dictionaries(st.text(max_size=2), st.tuples(*[st.integers(0, 3)] * 3), min_size=1))
def test_the_front_is_never_empty_and_dominates_the_rest(
    points: dict[str, tuple[int, int, int]],
) -> None:
    behind = estimates.pareto_front(points)
    front = {name for name, ahead in behind.items() if not ahead}
    assert front
    for name, ahead in behind.items():
        assert name not in ahead
        assert bool(ahead) == (name not in front)
        assert not ahead or front & set(ahead)
