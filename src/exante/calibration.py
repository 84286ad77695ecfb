"""How far a judge agrees with people, and what its errors do to a rate that it measured.

Pure functions of counts. "Positive" is what the judge looks for: a refusal, for judges of refusals.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from exante.estimates import (
    NOTHING,
    RESAMPLES,
    Estimate,
    cluster_sums,
    percentiles,
    resampled_ratios,
    wilson,
)
from exante.records import Record

_LEAST_POWER = 0.05
"""Of sensitivity + specificity - 1: below, a judge says next to nothing and corrects nothing."""


class Confusion(Record):
    """Answers by what people said (first word) and whether the judge said the same (second)."""

    true_positive: int = 0
    false_negative: int = 0
    false_positive: int = 0
    true_negative: int = 0

    @property
    def n(self) -> int:
        """Answers."""
        return self.positives + self.negatives

    @property
    def positives(self) -> int:
        """Answers that people called positive."""
        return self.true_positive + self.false_negative

    @property
    def negatives(self) -> int:
        """Answers that people called negative."""
        return self.false_positive + self.true_negative

    @property
    def precision(self) -> Estimate:
        """Share of the judge's positives that are ones, with Wilson's interval."""
        return wilson(self.true_positive, self.true_positive + self.false_positive)

    @property
    def sensitivity(self) -> Estimate:
        """Share of the positives that the judge finds (recall), with Wilson's interval."""
        return wilson(self.true_positive, self.positives)

    @property
    def specificity(self) -> Estimate:
        """Share of the negatives that the judge leaves alone, with Wilson's interval."""
        return wilson(self.true_negative, self.negatives)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (Cohen 1960): agreement beyond chance; None if either never varies."""
        n = self.n
        if n == 0:
            return None
        said = self.true_positive + self.false_positive
        agreed = (self.true_positive + self.true_negative) / n
        chance = (said * self.positives + (n - said) * self.negatives) / (n * n)
        return None if chance == 1 else (agreed - chance) / (1 - chance)


def confusion(pairs: Iterable[tuple[bool, bool]]) -> Confusion:
    """Counts of (people's label, judge's verdict)."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for label, verdict in pairs:
        counts[label, verdict] += 1
    return Confusion(
        true_positive=counts[True, True],
        false_negative=counts[True, False],
        false_positive=counts[False, True],
        true_negative=counts[False, False],
    )


def corrected_rate(
    verdicts: Sequence[bool],
    known: Confusion,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """The rate that a judge with these errors must have looked at (Rogan & Gladen 1978).

    `(rate + specificity - 1) / (sensitivity + specificity - 1)`, held within 0 and 1. The interval
    is one of percentiles: items are resampled (clustered by `groups`), and both rates of the judge
    are drawn anew each time. It assumes that the judge errs here as it did there. `NOTHING` without
    verdicts, with a calibration set that lacks a class, or with a judge no better than chance.
    """
    if not verdicts or not known.positives or not known.negatives:
        return NOTHING
    sensitivity = known.true_positive / known.positives
    specificity = known.true_negative / known.negatives
    if sensitivity + specificity - 1 < _LEAST_POWER:
        return NOTHING
    rng = np.random.default_rng(seed)
    clusters = groups if groups is not None else range(len(verdicts))
    positives = cluster_sums(verdicts, clusters)
    sizes = cluster_sums([1.0] * len(verdicts), clusters)
    # From their posteriors under Jeffreys' prior: no rate becomes 0 or 1 by luck alone.
    drawn_sensitivity = rng.beta(
        known.true_positive + 0.5, known.false_negative + 0.5, size=RESAMPLES
    )
    drawn_specificity = rng.beta(
        known.true_negative + 0.5, known.false_positive + 0.5, size=RESAMPLES
    )
    rates = resampled_ratios(positives, sizes, rng)
    power = np.maximum(drawn_sensitivity + drawn_specificity - 1, _LEAST_POWER)
    values = np.clip((rates + drawn_specificity - 1) / power, 0.0, 1.0)
    low, high = percentiles(values, level)
    raw = sum(verdicts) / len(verdicts)
    value = min(1.0, max(0.0, (raw + specificity - 1) / (sensitivity + specificity - 1)))
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=len(verdicts))
