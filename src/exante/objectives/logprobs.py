"""States or logits to log-probabilities of tokens, in float32, without all logits at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from jaxtyping import Float, Int
from torch import Tensor

_TILE = 1 << 21
"""Logits that are computed at a time: 8 MB in float32."""
TILE_BYTES = 4 * _TILE
_CHUNK = 4096
"""Tokens that are worked on at a time."""
_ROUND = 64
"""Kernels are built per shape: a few round sizes, instead of a new one at every batch."""
KEPT_BYTES = 64 << 20
"""Up to here logits are kept for the backward pass; beyond, they are computed once more."""


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
    kept_bytes: int = KEPT_BYTES,
) -> Float[Tensor, " tokens"]:
    """`target_logprobs(states @ weight.T + bias, targets)`, a tile of logits at a time.

    The products run in the type that autocast asks for, everything else in float32. Peak memory
    grows with tokens or with the vocabulary, not with their product: beyond `kept_bytes` the
    backward pass computes the logits again.
    """
    device = states.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    count = len(states)
    more = -count % _ROUND
    states, targets = F.pad(states, (0, 0, 0, more)), F.pad(targets, (0, more))
    apply: Any = _LinearLogprobs.apply
    value: Tensor = apply(states, weight, targets, bias, dtype, kept_bytes)
    return value[:count]


def chunk_tokens(vocabulary: int) -> int:
    """Tokens whose logits, over the whole vocabulary, make one tile."""
    return max(_ROUND, _TILE // vocabulary)


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
        keep = len(h) * len(w) * h.element_size() <= kept_bytes and any(ctx.needs_input_grad)
        kept: list[Tensor] = []
        norms = torch.full((len(h),), -torch.inf, device=h.device)
        values = torch.zeros_like(norms)
        for rows, columns in _tiles(len(h), len(w)):
            with torch.autocast(h.device.type, enabled=False):
                logits = F.linear(h[rows], w[columns], None if b is None else b[columns])
            if keep:
                kept.append(logits)
            norms[rows] = torch.logaddexp(norms[rows], _logsumexp(logits))
            place, inside = _within(targets[rows], columns)
            values[rows] += logits.gather(1, place)[:, 0] * inside
        ctx.save_for_backward(h, w, b, targets, norms, *kept)
        ctx.kept = keep
        return values.sub_(norms)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        h, w, b, targets, norms, *kept = ctx.saved_tensors
        for_states, for_weight, _, for_bias = ctx.needs_input_grad[:4]
        d_states = torch.zeros_like(h, dtype=torch.float32) if for_states else None
        d_weight = torch.zeros_like(w, dtype=torch.float32) if for_weight else None
        d_bias = torch.zeros(len(w), device=w.device) if for_bias else None
        for number, (rows, columns) in enumerate(_tiles(len(h), len(w))):
            logits = (
                kept[number]
                if ctx.kept
                else F.linear(h[rows], w[columns], None if b is None else b[columns])
            )
            place, inside = _within(targets[rows], columns)
            share = _float_copy(logits).sub_(norms[rows, None]).exp_()
            share *= -gradient[rows, None]
            share.scatter_add_(1, place, (gradient[rows] * inside)[:, None])
            if d_bias is not None:
                d_bias[columns] += share.sum(0)
            slope = share.to(w.dtype)
            if d_states is not None:
                d_states[rows] += slope @ w[columns]
            if d_weight is not None:
                d_weight[columns] += slope.T @ h[rows]
        own, theirs = ctx.types
        return (
            None if d_states is None else d_states.to(own),
            None if d_weight is None else d_weight.to(theirs),
            None,
            None if d_bias is None else d_bias.to(theirs),
            None,
            None,
        )


def _logsumexp(logits: Tensor) -> Tensor:
    """`logits.float().logsumexp(-1)`, with one large temporary instead of two."""
    work = _float_copy(logits)
    largest = work.amax(-1, keepdim=True)
    return work.sub_(largest).exp_().sum(-1).log_().add_(largest[:, 0])


def _float_copy(logits: Tensor) -> Tensor:
    return logits.to(torch.float32, copy=True)


def _tiles(tokens: int, vocabulary: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each tile; few chunks of tokens, for each adds to all of the weights."""
    for row in range(0, tokens, _CHUNK):
        rows = slice(row, min(row + _CHUNK, tokens))
        width = max(_ROUND, _TILE // (rows.stop - rows.start) // _ROUND * _ROUND)
        for column in range(0, vocabulary, width):
            yield rows, slice(column, min(column + width, vocabulary))


def _within(targets: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Where each target is in a tile, (tokens, 1), and whether it is there at all, (tokens,)."""
    inside = (targets >= columns.start) & (targets < columns.stop)
    place = (targets - columns.start).clamp(0, columns.stop - columns.start - 1)
    return place[:, None], inside


def response_sums(
    logprobs: Float[Tensor, " scored"], owners: Int[Tensor, " scored"], count: int
) -> Float[Tensor, " responses"]:
    """Summed log-prob of each response, in nats; `owners` tells which response a token is of."""
    return logprobs.new_zeros(count).index_add(0, owners, logprobs)


def front_sums(
    logprobs: Float[Tensor, " scored"],
    owners: Int[Tensor, " scored"],
    responses: Int[Tensor, " wanted"],
    tokens: Int[Tensor, " wanted"],
) -> Float[Tensor, " wanted"]:
    """Summed log-prob of the first `tokens` tokens of each of the `responses`, in nats.

    The tokens of a response stand together, in order, and `owners` never falls.
    """
    places = torch.arange(len(owners), device=owners.device) - torch.searchsorted(owners, owners)
    inside = (owners == responses[:, None]) & (places < tokens[:, None])
    return torch.where(inside, logprobs, 0.0).sum(1)
