"""Logits to log-probabilities of tokens and of whole responses, in float32."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor


def token_logprobs(
    logits: Float[Tensor, "rows time vocabulary"], ids: Int[Tensor, "rows time"]
) -> Float[Tensor, "rows time"]:
    """Log-prob of each token given those before it, in nats; 0 for the first, which has none."""
    scores = logits[:, :-1].float()
    chosen = scores.gather(-1, ids[:, 1:, None])[..., 0] - scores.logsumexp(-1)
    padded = chosen.new_zeros(ids.shape)
    padded[:, 1:] = chosen
    return padded


def response_logprobs(
    logprobs: Float[Tensor, "rows time"], response: Bool[Tensor, "rows time"]
) -> Float[Tensor, " rows"]:
    """Summed log-prob of the masked tokens of each row, in nats."""
    return (logprobs * response).sum(-1)
