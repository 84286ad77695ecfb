"""What changes between updates: the strength of the length margin, multipliers, barriers.

A multiplier is the price of a constraint `E[c] <= limit`, where `c > 0` is unsafe. Pure functions
of numbers and tensors; nothing is changed in place: a slack that is clipped where it stands would
hide from whoever reads it next that the constraint is violated.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


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


def dual(multiplier: float, cost: float, *, limit: float, rate: float, cap: float) -> float:
    """Projected ascent on the dual, `max(0, m - rate * (limit - cost))`, at most `cap`.

    `cost` is the mean cost of the policy that was trained under `multiplier` (C-DPO, arXiv
    2403.02475).
    """
    return min(cap, max(0.0, multiplier - rate * (limit - cost)))


def log_dual(multiplier: float, cost: float, *, limit: float, rate: float, cap: float) -> float:
    """Ascent on the logarithm, `m * exp(rate * m * (cost - limit))`, at most `cap`.

    As in PPO-Lagrangian (arXiv 2310.12773): never 0 once positive, slow where it is small. The
    exponent is bounded by one e-fold, so one odd estimate cannot throw it far.
    """
    if multiplier <= 0:
        raise ValueError("a multiplier that moves by its logarithm starts above 0")
    return min(cap, multiplier * math.exp(max(-1.0, min(1.0, rate * multiplier * (cost - limit)))))


def rectified(
    multiplier: float, excess: float, *, rate: float, cap: float, decay: float = 0.0
) -> float:
    """`(1 - decay) * m + rate * excess`, at most `cap`; `excess` is the mean of `max(c, 0)`.

    RePO (arXiv 2410.19933). The excess is never negative, so without a decay the multiplier never
    falls, also when every turn is safe by now: a cap, a decay or both keep it from running away.
    """
    if excess < 0:
        raise ValueError("a mean of rectified costs is not negative")
    return min(cap, (1.0 - decay) * multiplier + rate * excess)


def confidence(count: int, *, doubt: float) -> float:
    """Standard deviations by which the mean of `count` values may lie below the true one.

    `sqrt(ln(1 / doubt) / count)` (LB-SGD, arXiv 2207.10415); `doubt` is the chance of more. What it
    is multiplied with is itself an estimate, and 0 where all values happen to be equal.
    """
    return math.sqrt(math.log(1.0 / doubt) / count)


def barrier_weights(
    slack: Float[Tensor, ""], *, eta: float, least: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Weights of the objective and of the constraint in the loss of one update.

    `slack` is what certainly lies between the constraint and its limit: limit, less mean, less
    radius. Inside, `(1, eta / max(slack, least))`: the gradient of `-eta * log(slack)`. Outside,
    the logarithm does not exist, and only the constraint is optimised: `(0, 1)`, the recovery.
    """
    inside = slack > 0
    return inside.to(slack), torch.where(inside, eta / slack.clamp(min=least), 1.0)


def barrier_direction(
    gradient: Float[Tensor, " dims"],
    slopes: Float[Tensor, "constraints dims"],
    slacks: Float[Tensor, " constraints"],
    *,
    eta: float,
) -> Float[Tensor, " dims"]:
    """Gradient of `f - eta * sum_i log(slack_i)` inside; outside, that of what is violated."""
    violated = slacks <= 0
    if violated.any():
        return slopes[violated].sum(0)
    return gradient + eta * (slopes / slacks[:, None]).sum(0)


def barrier_step(
    direction: Float[Tensor, " dims"],
    slopes: Float[Tensor, "constraints dims"],
    slacks: Float[Tensor, " constraints"],
    *,
    eta: float,
    curvature: float,
    curvatures: Float[Tensor, " constraints"],
) -> float:
    """Largest step along `-direction` that keeps slack (LB-SGD, arXiv 2207.10415, section 4.2).

    `min(min_i slack_i / (2 L_i + sqrt(slack_i M_i)) / |g|, 1 / M)`, `L_i` being the slope along the
    direction and `M = M_0 + 2 eta sum M_i / slack_i + 4 eta sum L_i^2 / slack_i^2`; `1 / M_0` on
    the way back from outside, where there is no slack to keep. The promise is one about
    `x - step * g`: an optimiser that rescales gradients, such as Adam, also behind a clipped norm,
    makes another step, and what was promised no longer holds.
    """
    length = direction.norm()
    if length == 0 or (slacks <= 0).any():
        return 1.0 / curvature
    along = (slopes @ direction).abs() / length
    room = slacks / (2 * along + (slacks * curvatures).sqrt()) / length
    bend = curvature + 2 * eta * (curvatures / slacks).sum()
    bend = bend + 4 * eta * (along**2 / slacks**2).sum()
    return float(torch.minimum(room.min(), 1 / bend))
