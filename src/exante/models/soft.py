"""Vectors in the place of a suffix, moved until consent is likely, and the turn that follows.

No text and no user interface gives these vectors to a model: an upper bound for an attacker who
holds the weights (Schwinn et al., arXiv 2402.09063).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from transformers import DynamicCache

from exante.models.forward import logits_of, without_adapters
from exante.models.target import LocalTarget
from exante.records import Message, Record


class SoftSettings(Record):
    """How long the vectors are moved, and how far."""

    start: str = " !" * 10
    """Suffix whose vectors are moved."""
    steps: int = Field(default=60, ge=1)
    """Gradients taken for one goal."""
    rate: float = Field(default=0.1, gt=0)
    """Length of a step in each direction, of the root mean square of the embeddings."""
    enough: float = -0.05
    """Log-prob of the beginning, in nats, at which the search ends: it is then said anyway."""


def soften(
    target: LocalTarget, messages: Sequence[Message], response: str, settings: SoftSettings
) -> tuple[Tensor, list[float]]:
    """The best vectors, (tokens, width), and the best log-prob before and after every step.

    Steps go by the sign of the gradient, as published; the best vectors on the way are kept, so the
    log-prob never falls.
    """
    vectors = target.vectors(target.suffix_ids(messages, settings.start))
    size = target.model.get_input_embeddings().weight.detach().float().pow(2).mean().sqrt()
    best, history = vectors, list[float]()
    highest = -float("inf")
    for step in range(settings.steps + 1):
        vectors = vectors.detach().requires_grad_()
        value = target.soft_logprob(messages, vectors, response)
        if float(value.detach()) > highest:
            best, highest = vectors.detach(), float(value.detach())
        history.append(highest)
        if highest >= settings.enough or step == settings.steps:
            break
        (slope,) = torch.autograd.grad(value, vectors)
        vectors = vectors + settings.rate * size.to(vectors.dtype) * slope.sign()
    return best, history


@torch.inference_mode()
def greedy_after(
    target: LocalTarget, prompt: Tensor, max_new_tokens: int
) -> tuple[tuple[int, ...], Literal["stop", "length"]]:
    """The most likely turn behind a prompt of vectors, (tokens, width), and how it ended."""
    model: Any = target.model
    decoder, cache = without_adapters(model).get_decoder(), DynamicCache()
    states = decoder(inputs_embeds=prompt[None], past_key_values=cache, use_cache=True)
    ids: list[int] = []
    while True:
        token = int(logits_of(model, states.last_hidden_state[0, -1]).argmax())
        ids.append(token)
        if token in target.chat.stop_ids:
            return tuple(ids), "stop"
        if len(ids) == max_new_tokens:
            return tuple(ids), "length"
        states = decoder(
            input_ids=torch.tensor([[token]], device=model.device),
            past_key_values=cache,
            use_cache=True,
        )
