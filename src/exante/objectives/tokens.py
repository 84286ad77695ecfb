"""Losses on the tokens of responses: weighted cross-entropy, one value per token.

Pure functions of tensors. No model, tokenizer, config or I/O enters here.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def cross_entropy(
    logprobs: Float[Tensor, " scored"], weights: Float[Tensor, " scored"]
) -> Float[Tensor, " scored"]:
    """Weighted negative log-prob of each token, in nats; a weight of 0 leaves a token out."""
    return -(logprobs * weights)
