"""Logits to log-probabilities of tokens and of whole responses, in float32."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from jaxtyping import Bool, Float, Int
from torch import Tensor

_NO_TARGET = -100


def token_logprobs(
    logits: Float[Tensor, "rows time vocabulary"], ids: Int[Tensor, "rows time"]
) -> Float[Tensor, "rows time"]:
    """Log-prob of each token given those before it, in nats; 0 for the first, which has none."""
    # The last position predicts nothing. Giving it no target is half the cost of cutting it off:
    # the gradient of a slice is a second tensor of the size of all logits.
    targets = ids.roll(-1, dims=1)
    targets[:, -1] = _NO_TARGET
    losses = F.cross_entropy(
        logits.float().flatten(0, 1),
        targets.flatten(),
        reduction="none",
        ignore_index=_NO_TARGET,
    )
    return -losses.view(ids.shape).roll(1, dims=1)


def response_logprobs(
    logprobs: Float[Tensor, "rows time"], response: Bool[Tensor, "rows time"]
) -> Float[Tensor, " rows"]:
    """Summed log-prob of the masked tokens of each row, in nats."""
    return (logprobs * response).sum(-1)
