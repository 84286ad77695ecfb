"""Preference training inside a constraint: a log barrier on the pairs that are about safety.

The constraint is one on the mean of `-log sigmoid(beta * gap)` over pairs of a safe and an unsafe
turn, which stands in for their cost and has a gradient. What is estimated on a part of a batch is
used there: nothing winds up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from exante.objectives.control import barrier_weights, confidence


class Barrier(BaseModel):
    """What safety pairs must keep, and how hard it is held."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    limit: float = Field(default=0.5, gt=0)
    """Largest mean of `-log sigmoid(beta * gap)` on safety pairs; 0.69 nats at the reference."""
    eta: float = Field(default=0.1, gt=0)
    """Strength of the barrier; the policy stays about so far inside."""
    least: float = Field(default=0.05, gt=0)
    """Slack below which the barrier gets no steeper."""
    doubt: float = Field(default=0.05, gt=0, lt=1)
    """Chance that the true mean lies beyond the radius that is kept free."""


def barred(
    losses: Tensor, gaps: Tensor, part: Mapping[str, Any], *, beta: float, barrier: Barrier
) -> tuple[Tensor, dict[str, Tensor]]:
    """This part's share of the loss with a log barrier (LB-SGD, arXiv 2207.10415), and numbers.

    `losses` and `gaps` are (pairs,). Pairs of kind `safety` are the constraint, all others the
    objective; once the slack is gone only the constraint is optimised. A part without safety pairs
    has no constraint.
    """
    safety = torch.tensor([kind == "safety" for kind in part["kinds"]], device=losses.device)
    share = len(part["kinds"]) / part["whole"]
    count = part["kinds"].count("safety")
    objective = losses[~safety].mean() if count < len(losses) else losses.new_zeros(())
    if count == 0:
        return share * objective, {}
    costs = -F.logsigmoid(beta * gaps[safety])
    with torch.no_grad():
        radius = costs.std(correction=0) * confidence(count, doubt=barrier.doubt)
        slack = barrier.limit - costs.mean() - radius
        weights = barrier_weights(slack, eta=barrier.eta, least=barrier.least)
        numbers = {"constraint": costs.mean(), "slack": slack, "recovering": (slack <= 0).float()}
    return share * (weights[0] * objective + weights[1] * costs.mean()), numbers
