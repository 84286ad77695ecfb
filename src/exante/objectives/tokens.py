"""Losses on the tokens of one response: weighted cross-entropy, one value per row.

Pure functions of tensors. No model, tokenizer, config or I/O enters here.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def cross_entropy(
    logprobs: Float[Tensor, "rows time"], weights: Float[Tensor, "rows time"]
) -> Float[Tensor, " rows"]:
    """Weighted sum of negative log-probs per row, in nats; a weight of 0 leaves a token out."""
    return -(logprobs * weights).sum(-1)


def mean_per_token(
    losses: Float[Tensor, " rows"], weights: Float[Tensor, "rows time"]
) -> Float[Tensor, ""]:
    """The rows' summed losses over the number of weighted tokens: long rows count by length."""
    return losses.sum() / (weights != 0).sum().clamp(min=1)
