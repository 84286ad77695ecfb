"""From verdicts to estimates with intervals, and from two models to a decision.

Pure functions of numbers. Attack families are fixed, prompts are the sample: whatever holds several
numbers about one prompt is clustered by it. Zero successes never give an interval of width zero.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import comb
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from exante.records import Record

RESAMPLES = 2000
"""Of every bootstrap."""
_Floats = NDArray[np.float64]


class Estimate(Record):
    """A number with its interval and the number of items behind it; all None where n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class Decision(Record):
    """Outcome of a one-sided test."""

    ok: bool
    """Is a loss beyond the margin ruled out, at the level asked for, and no smaller one shown?"""
    difference: float
    """After minus before, of the rate of bad items."""
    bound: float
    """The worst difference that the data leave possible (one-sided)."""
    n: int
    why: str


NOTHING = Estimate(value=None, low=None, high=None, n=0)
"""The estimate of a quantity of which nothing was seen."""


def wilson(successes: float, n: float, level: float = 0.95) -> Estimate:
    """Rate with its Wilson score interval (Wilson 1927); both counts may be effective ones."""
    if n <= 0:
        return NOTHING
    z = _two_sided(level)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * ((rate * (1 - rate) / n + z * z / (4 * n * n)) ** 0.5)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(value=rate, low=low, high=high, n=round(n))


def mean(
    values: Sequence[float],
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Mean with a percentile interval of the bootstrap over `groups` (each value its own if None).

    For rates prefer `wilson`: a bootstrap of equal values has width zero.
    """
    return ratio_of_totals(values, [1.0] * len(values), groups, seed, level)


def ratio_of_totals(
    numerators: Sequence[float],
    denominators: Sequence[float],
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Sum over sum, with a percentile interval of the paired bootstrap over `groups`.

    Paired: an item enters with numerator and denominator, so what makes both large cancels.
    """
    if len(numerators) != len(denominators):
        raise ValueError("numerators and denominators belong together, one each per item")
    if sum(denominators) == 0:
        return NOTHING
    clusters = groups if groups is not None else range(len(numerators))
    top = cluster_sums(numerators, clusters)
    bottom = cluster_sums(denominators, clusters)
    low, high = percentiles(resampled_ratios(top, bottom, np.random.default_rng(seed)), level)
    value = float(top.sum() / bottom.sum())
    return Estimate(value=value, low=low, high=high, n=len(numerators))


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Mean of after minus before on the same items, with a bootstrap interval over `groups`."""
    return mean([b - a for a, b in zip(before, after, strict=True)], groups, seed, level)


def macro(by_family: Mapping[str, Mapping[str, bool]], level: float = 0.95) -> Estimate:
    """Mean over families of the success rate, each family a mapping from goal to success.

    Families are fixed and goals are the sample. The interval is Wilson's on the effective number of
    items, which the variance between goals gives (Dean & Pagano 2015): between the number of goals
    and the number of attacked prompts. `n` is the number of attacked prompts.
    """
    families = [family for family in by_family.values() if family]
    items = sum(map(len, families))
    if not items:
        return NOTHING
    rates = [sum(family.values()) / len(family) for family in families]
    rate = sum(rates) / len(rates)
    goals = sorted({goal for family in families for goal in family})
    deviations = [
        sum(
            (family[goal] - family_rate) / len(family)
            for family, family_rate in zip(families, rates, strict=True)
            if goal in family
        )
        / len(families)
        for goal in goals
    ]
    effective = _effective_items(rate, deviations, fewest=len(goals), most=items)
    interval = wilson(rate * effective, effective, level)
    return interval.model_copy(update={"value": rate, "n": items})


def union(by_family: Mapping[str, Mapping[str, bool]], level: float = 0.95) -> Estimate:
    """Share of goals that at least one family reached; Wilson interval over goals."""
    reached: dict[str, bool] = {}
    for family in by_family.values():
        for goal, success in family.items():
            reached[goal] = reached.get(goal, False) or success
    return wilson(sum(reached.values()), len(reached), level)


def over_seeds(by_seed: Sequence[Mapping[str, Mapping[str, bool]]]) -> Estimate:
    """`macro` of several runs of one method, the mean over seeds; goals of all runs are clustered.

    The interval holds what goals and what seeds contribute, see `widened`.
    """
    pooled = {f"{n} {name}": one[name] for n, one in enumerate(by_seed) for name in one}
    return widened(macro(pooled), [macro(one).value for one in by_seed], most=1.0)


def widened(
    estimate: Estimate,
    of_seeds: Sequence[float | None],
    most: float = float("inf"),
    level: float = 0.95,
) -> Estimate:
    """The estimate with its interval widened by the standard error of its values over seeds.

    Both are added as squares. That is wide rather than narrow: values of seeds differ by their
    prompts as well, which the interval held already. With one seed nothing is known of seeds, and
    nothing changes.
    """
    values = [value for value in of_seeds if value is not None]
    if len(values) < 2 or estimate.value is None:
        return estimate
    seeds = _two_sided(level) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    low, high = (estimate.value if end is None else end for end in (estimate.low, estimate.high))
    return estimate.model_copy(
        update={
            "low": max(0.0, estimate.value - float(np.hypot(estimate.value - low, seeds))),
            "high": min(most, estimate.value + float(np.hypot(high - estimate.value, seeds))),
        }
    )


def pareto_front(points: Mapping[str, Sequence[float]]) -> dict[str, list[str]]:
    """By name, who dominates it: is as low in all of its numbers, and lower in one.

    The front are those whom nobody dominates.
    """
    return {
        name: [
            other
            for other, theirs in points.items()
            if tuple(theirs) != tuple(numbers)
            and all(a <= b for a, b in zip(theirs, numbers, strict=True))
        ]
        for name, numbers in points.items()
    }


def at_k(successes: Sequence[int], samples: int, k: int) -> list[float]:
    """Per prompt, the chance that at least one of `k` samples succeeds; unbiased.

    `successes` counts among `samples` samples each: `1 - C(n - c, k) / C(n, k)` (arXiv 2107.03374).

    Raises:
        ValueError: `k` is not between 1 and `samples`, or a count not between 0 and it.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k is {k}, but every prompt has {samples} samples")
    if any(not 0 <= count <= samples for count in successes):
        raise ValueError(f"a prompt has a number of successes outside 0 to {samples}")
    return [1 - comb(samples - count, k) / comb(samples, k) for count in successes]


def mcnemar_exact(only_before: int, only_after: int) -> float:
    """Two-sided exact p-value for two models on the same items, from those in which they differ."""
    n = only_before + only_after
    if n == 0:
        return 1.0
    return float(stats.binomtest(min(only_before, only_after), n, 0.5).pvalue)


def holm(pvalues: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979), in the given order."""
    adjusted = [0.0] * len(pvalues)
    worst = 0.0
    for rank, place in enumerate(sorted(range(len(pvalues)), key=lambda i: pvalues[i])):
        worst = max(worst, min(1.0, (len(pvalues) - rank) * pvalues[place]))
        adjusted[place] = worst
    return adjusted


def not_worse(
    before: Sequence[bool], after: Sequence[bool], margin: float, level: float = 0.95
) -> Decision:
    """Is a rise of the rate of bad items by `margin` ruled out, and no smaller one shown?

    One-sided non-inferiority on the same items (score test, Tango 1998). The burden of proof is on
    the new model: with too few items even an unchanged one fails. With no item differing, n items
    show a margin of about 2.7 / n at level 0.95. A rise within the margin that is significant by
    itself (exact sign test on the items that differ) fails as well: margins granted round after
    round would add up.
    """
    pairs = list(zip(before, after, strict=True))
    n = len(pairs)
    if n == 0:
        return Decision(ok=False, difference=0.0, bound=1.0, n=0, why="no items to compare")
    broken = sum(new and not old for old, new in pairs)
    mended = sum(old and not new for old, new in pairs)
    difference = (broken - mended) / n
    bound = _tango_bound(broken, mended, n, level)
    shown = _sign_test(broken, mended) <= 1 - level
    verdict = "below" if bound < margin else "not below"
    why = (
        f"{broken} of {n} got worse, {mended} better: rise {difference:+.4f}, "
        f"at most {bound:+.4f}, {verdict} the margin {margin:g}"
        + (", but a rise is certain" if shown else "")
    )
    ok = bound < margin and not shown
    return Decision(ok=ok, difference=difference, bound=bound, n=n, why=why)


def cluster_sums(values: Sequence[float], groups: Sequence[Hashable]) -> _Floats:
    """The sum of each cluster's values, in order of appearance, shape (clusters,)."""
    sums: dict[Hashable, float] = {}
    for value, group in zip(values, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + float(value)
    return np.asarray(list(sums.values()), dtype=float)


def resampled_ratios(top: _Floats, bottom: _Floats, rng: np.random.Generator) -> _Floats:
    """Sum of `top` over sum of `bottom`, both (clusters,), in each of `RESAMPLES` resamples.

    Resamples whose `bottom` sums to nothing are left out.
    """
    ratios = []
    for _ in range(RESAMPLES):
        draw = rng.integers(0, len(top), len(top))
        total = bottom[draw].sum()
        if total > 0:
            ratios.append(top[draw].sum() / total)
    return np.asarray(ratios)


def percentiles(values: _Floats, level: float) -> tuple[float, float]:
    """The interval that holds the middle `level` of the values."""
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _sign_test(broken: int, mended: int) -> float:
    """Exact one-sided p-value of more items broken than mended, if both were equally likely."""
    if broken <= mended:
        return 1.0
    return float(stats.binomtest(broken, broken + mended, 0.5, alternative="greater").pvalue)


def _two_sided(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)


def _effective_items(rate: float, deviations: Sequence[float], *, fewest: int, most: int) -> float:
    """Items of a simple sample that would estimate `rate` as well as these clusters do."""
    count = len(deviations)
    if count < 2:
        return float(fewest)
    variance = count / (count - 1) * sum(d * d for d in deviations)
    if rate in (0.0, 1.0):  # no spread to learn from: as if all families always agreed
        return float(fewest)
    binomial = rate * (1 - rate)
    return float(most) if variance * most <= binomial else max(float(fewest), binomial / variance)


def _tango_bound(broken: int, mended: int, n: int, level: float) -> float:
    """Largest difference of paired rates that a one-sided score test at `level` does not reject."""
    z = NormalDist().inv_cdf(level)

    def excess(delta: float) -> float:
        # Restricted maximum likelihood of the rate of mended items, given the difference `delta`.
        b = (2 * n - broken + mended) * delta - broken - mended
        c = -mended * delta * (1 - delta)
        rate = (max(b * b - 8 * n * c, 0.0) ** 0.5 - b) / (4 * n)
        variance = n * (2 * rate + delta * (1 - delta))
        return float((broken - mended - n * delta) + z * max(variance, 0.0) ** 0.5)

    # At the observed difference itself the variance may vanish, and with it the excess.
    start = (broken - mended) / n + 1e-9
    return 1.0 if excess(1.0) >= 0 else float(brentq(excess, start, 1.0))
