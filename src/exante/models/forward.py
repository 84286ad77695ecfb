"""Log-probs of packed responses under a causal model of transformers, unpatched.

transformers takes a ready mask and positions, so no model code is replaced. The output layer is
applied to the states that predict a response token, and to no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from exante.models.masks import added, per_kind
from exante.models.packed import NOBODY, Group, pack, visible
from exante.objectives.logprobs import chunk_tokens, linear_logprobs, target_logprobs

WIDEST_EAGER = 512
"""Tokens: up to here, on a CPU, plain matrix products beat the fused attention kernel: 0.49 seconds
against 0.60 at 256 tokens, 0.69 against 0.71 at 512, 1.08 against 0.82 at 768."""
_TOLERANCE = {torch.float32: 1e-4}
_ROUGH = 0.25
"""Nats per token, for weights of lower precision."""


def response_logprobs_of(
    model: Any,
    *,
    ids: Tensor,
    positions: Tensor,
    group: Tensor,
    response: Tensor,
    sources: Tensor,
    targets: Tensor,
    shared: bool = True,
) -> Tensor:
    """Log-prob of each response token in nats, (scored,), float32, with its gradient.

    The arguments are those of `Packed`; `shared=False` is for rows that were packed so.
    """
    base = without_adapters(model)
    how: dict[str, Any] = {"use_cache": False}
    if shared:
        how["attention_mask"] = _masks(base, positions, group, response)
        how["position_ids"] = positions
    else:
        how["attention_mask"] = (group != NOBODY).to(torch.long)
    states = base.get_decoder()(input_ids=ids, **how).last_hidden_state
    chosen = states.flatten(0, 1).index_select(0, sources)
    return _head_logprobs(base, chosen, targets)


def without_adapters(model: Any) -> Any:
    """The transformers model inside a PEFT model; its layers keep their adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def logits_of(model: Any, states: Tensor) -> Tensor:
    """Logits of last states, (..., vocabulary), as the model itself would give them."""
    logits: Tensor = model.get_output_embeddings()(states)
    adjust = _adjustment(model.config.get_text_config())
    return adjust(logits) if adjust else logits


def choose_attention(model: Any, width: int, device: str | None = None) -> None:
    """Set the attention that suits rows of this width on the device; None: where the model is."""
    name = "eager" if suits_plain(device or model.device.type, width) else "sdpa"
    try:
        model.set_attn_implementation(name)
    except ValueError:
        # A model without fused attention says so; the plain one exists for all.
        model.set_attn_implementation("eager")


def suits_plain(device: str, width: int) -> bool:
    """Is plain attention the faster one for rows of this width?"""
    return device == "cpu" and width <= WIDEST_EAGER


@torch.inference_mode()
def can_share(model: Any) -> bool:
    """Does the model give the same log-probs in shared rows as in plain ones?

    False for models that take positions from places in the row, keep a state, or build their own
    mask. Tried out on random tokens rather than looked up, so that it holds for any architecture.
    """
    words = min(model.config.get_text_config().vocab_size, 1000)
    dice = torch.Generator().manual_seed(0)

    def some(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(words, (count,), generator=dice).tolist())

    groups = [Group(some(5), (some(7), some(4))), Group(some(3), (some(2), some(1)))]
    training = model.training
    model.eval()
    found = []
    try:
        for shared in (True, False):
            inputs = {
                k: v.to(model.device) for k, v in pack(groups, 0, shared=shared).inputs().items()
            }
            found.append(response_logprobs_of(model, **inputs, shared=shared))
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError):
        return False
    finally:
        model.train(training)
    limit = _TOLERANCE.get(model.dtype, _ROUGH)
    return bool((found[0] - found[1]).abs().max() <= limit)


@contextmanager
def scoring(model: Any, *, shared: bool) -> Iterator[None]:
    """Within, calling the model returns log-probs, also through what wraps it for training.

    DDP, FSDP and mixed precision all act on a call of the model, so the log-probs must come out of
    one; calling its parts from outside would pass them by.
    """
    model.forward = partial(response_logprobs_of, model, shared=shared)
    try:
        yield
    finally:
        del model.forward


def _masks(base: Any, positions: Tensor, group: Tensor, response: Tensor) -> Any:
    """Fused attention takes the booleans, plain attention adds a mask to its scores."""
    plain = base.config._attn_implementation == "eager"
    device = positions.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else base.dtype

    def seen(window: int | None) -> Tensor:
        mask = visible(positions, group, response, window)
        return added(mask, dtype) if plain else mask

    return per_kind(base.config, seen)


def _head_logprobs(base: Any, states: Tensor, targets: Tensor) -> Tensor:
    head = base.get_output_embeddings()
    adjust = _adjustment(base.config.get_text_config())
    if type(head) is nn.Linear and adjust is None:
        return linear_logprobs(states, head.weight, targets, bias=head.bias)
    # An adapter on the head, or logits that are scaled or capped: slower, and right.
    size = chunk_tokens(base.config.get_text_config().vocab_size)
    parts = [
        checkpoint(
            lambda h, t: target_logprobs((adjust or _same)(head(h)), t), h, t, use_reentrant=False
        )
        for h, t in zip(states.split(size), targets.split(size), strict=True)
    ]
    return torch.cat(parts)


def _adjustment(config: Any) -> Callable[[Tensor], Tensor] | None:
    """What a family does to its logits behind the output layer, if anything."""
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:
        return lambda logits: cap * torch.tanh(logits / cap)
    divisor = getattr(config, "logits_scaling", None)
    factor = getattr(config, "logit_scale", None) or (1 / divisor if divisor else None)
    if factor and factor != 1:
        return lambda logits: logits * factor
    return None


def _same(logits: Tensor) -> Tensor:
    return logits
