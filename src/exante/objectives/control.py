"""What changes between rounds: the strength of the length margin."""

from __future__ import annotations

import math


def next_alpha(
    alpha: float,
    mean_tokens: float,
    budget: float,
    *,
    kappa: float = 1.0,
    low: float = 0.0,
    high: float = 4.0,
) -> float:
    """The strength for the next round: up while traces are longer than the budget, else down.

    `clip(alpha * exp(kappa * (mean_tokens - budget) / budget), low, high)`; lengths in tokens,
    `budget > 0`. The exponent is bounded by one e-fold, so one odd round cannot throw it far.
    """
    if budget <= 0:
        raise ValueError("the token budget is a positive number")
    excess = max(-1.0, min(1.0, kappa * (mean_tokens - budget) / budget))
    return min(high, max(low, alpha * math.exp(excess)))
