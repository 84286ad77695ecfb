"""From seconds to ratios: totals over equal work, per block, with an interval. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal

import numpy as np

from exante.estimates import RESAMPLES, percentiles

Side = Literal["ours", "theirs"]
ORDER: tuple[Side, ...] = ("ours", "theirs", "theirs", "ours")
"""Of one block: a machine that slows down evenly favours neither side."""


def ratio_of_rates(
    ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]]
) -> float:
    """Our rate over theirs, each the total work over the total seconds of its runs in a block."""
    return _rate(ours) / _rate(theirs)


def ratio_of_means(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Mean of ours over mean of theirs."""
    return (sum(ours) / len(ours)) / (sum(theirs) / len(theirs))


def median_interval(
    ratios: Sequence[float], *, seed: int = 0, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile interval of the bootstrapped median over blocks; None where there is one block."""
    if len(ratios) < 2:
        return None
    rng = np.random.default_rng(seed)
    draws = rng.choice(np.asarray(ratios, dtype=float), size=(RESAMPLES, len(ratios)))
    return percentiles(np.median(draws, axis=1), level)


def middle(ratios: Sequence[float]) -> float:
    """The median over blocks."""
    return float(median(ratios))


def _rate(runs: Sequence[tuple[float, float]]) -> float:
    work, seconds = (sum(column) for column in zip(*runs, strict=True))
    return float(work / seconds)
