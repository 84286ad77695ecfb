"""States or logits to log-probabilities of tokens, in float32, without all logits at once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from jaxtyping import Float, Int
from torch import Tensor

_TILE = 1 << 22
"""Logits that are computed at a time: 16 MB in float32."""
_KEPT_BYTES = 64 << 20
"""Up to here logits are kept for the backward pass; beyond, they are computed once more."""
_SMALLEST_CHUNK = 128


def target_logprobs(
    logits: Float[Tensor, "tokens vocabulary"], targets: Int[Tensor, " tokens"]
) -> Float[Tensor, " tokens"]:
    """Log-prob of each target under its row of logits, in nats."""
    return -F.cross_entropy(logits.float(), targets, reduction="none")


def linear_logprobs(
    states: Float[Tensor, "tokens width"],
    weight: Float[Tensor, "vocabulary width"],
    targets: Int[Tensor, " tokens"],
    *,
    bias: Float[Tensor, " vocabulary"] | None = None,
    kept_bytes: int = _KEPT_BYTES,
) -> Float[Tensor, " tokens"]:
    """`target_logprobs(states @ weight.T + bias, targets)`, a tile of logits at a time.

    The products run in the type that autocast asks for, everything else in float32. Peak memory
    grows with tokens or with the vocabulary, not with their product: beyond `kept_bytes` the
    backward pass computes the logits again.
    """
    device = states.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    value: Tensor = _LinearLogprobs.apply(states, weight, targets, bias, dtype, kept_bytes)  # type: ignore[no-untyped-call]
    return value


def chunk_tokens(vocabulary: int) -> int:
    """Tokens whose logits make one tile."""
    return max(_SMALLEST_CHUNK, _TILE // vocabulary)


class _LinearLogprobs(torch.autograd.Function):
    """The chain rule by hand: d log p(t) / d logits = onehot(t) - softmax(logits)."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        targets: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype | None,
        kept_bytes: int,
    ) -> Tensor:
        dtype = dtype or weight.dtype
        ctx.types = states.dtype, weight.dtype
        h, w = states.to(dtype), weight.to(dtype)
        b = None if bias is None else bias.to(dtype)
        size = chunk_tokens(len(weight))
        count = len(states)
        keep = count * len(weight) * h.element_size() <= kept_bytes and any(ctx.needs_input_grad)
        kept = [] if keep else None
        norms = states.new_empty(count, dtype=torch.float32)
        values = torch.empty_like(norms)
        for first in range(0, count, size):
            part = slice(first, first + size)
            with torch.autocast(states.device.type, enabled=False):
                logits = F.linear(h[part], w, b)
            if kept is not None:
                kept.append(logits)
            norms[part] = logits.float().logsumexp(-1)
            values[part] = logits.gather(1, targets[part, None])[:, 0]
        ctx.save_for_backward(h, w, b, targets, norms, *(kept or ()))
        ctx.kept = keep
        return values.sub_(norms)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        h, w, b, targets, norms, *kept = ctx.saved_tensors
        for_states, for_weight, _, for_bias = ctx.needs_input_grad[:4]
        size = chunk_tokens(len(w))
        d_states = torch.empty_like(h) if for_states else None
        d_weight = torch.zeros_like(w, dtype=torch.float32) if for_weight else None
        d_bias = torch.zeros(len(w), device=w.device) if for_bias else None
        for number, first in enumerate(range(0, len(h), size)):
            part = slice(first, first + size)
            logits = kept[number] if ctx.kept else F.linear(h[part], w, b)
            share = (logits.float() - norms[part, None]).exp_()
            share *= -gradient[part, None]
            share.scatter_add_(1, targets[part, None], gradient[part, None])
            if d_bias is not None:
                d_bias += share.sum(0)
            slope = share.to(w.dtype)
            if d_states is not None:
                torch.mm(slope, w, out=d_states[part])
            if d_weight is not None:
                d_weight += slope.T @ h[part]
        own, theirs = ctx.types
        return (
            None if d_states is None else d_states.to(own),
            None if d_weight is None else d_weight.to(theirs),
            None,
            None if d_bias is None else d_bias.to(theirs),
            None,
            None,
        )


def response_sums(
    logprobs: Float[Tensor, " scored"], owners: Int[Tensor, " scored"], count: int
) -> Float[Tensor, " responses"]:
    """Summed log-prob of each response, in nats; `owners` tells which response a token is of."""
    return logprobs.new_zeros(count).index_add(0, owners, logprobs)
