"""Ratios and intervals of blocks."""

from __future__ import annotations

import pytest

from exante.bench.measure import ORDER, median_interval, middle, ratio_of_means, ratio_of_rates


def test_a_ratio_is_of_totals_and_not_of_single_runs() -> None:
    ours, theirs = [(10.0, 1.0), (10.0, 3.0)], [(10.0, 8.0), (10.0, 2.0)]
    assert ratio_of_rates(ours, theirs) == pytest.approx((20 / 4) / (20 / 10))


def test_even_drift_favours_neither_side() -> None:
    seconds = {"ours": [], "theirs": []}  # type: dict[str, list[tuple[float, float]]]
    for place, side in enumerate(ORDER):
        seconds[side].append((1.0, 1.0 + place / 10))
    assert ratio_of_rates(seconds["ours"], seconds["theirs"]) == pytest.approx(1.0)


def test_memory_is_a_ratio_of_means() -> None:
    assert ratio_of_means([1, 3], [4, 4]) == 0.5


def test_the_interval_is_seeded_holds_the_median_and_needs_two_blocks() -> None:
    ratios = [2.0, 2.2, 1.9, 2.1, 2.5]
    found = median_interval(ratios, seed=3)
    assert found is not None
    assert found == median_interval(ratios, seed=3)
    assert min(ratios) <= found[0] <= middle(ratios) <= found[1] <= max(ratios)
    assert median_interval([2.0]) is None
