"""Prompts to turns, in batches, seeded, with log-probs of the distribution that is trained.

Each row draws from its own random stream, named after seed, request and sample, so a row's text
does not depend on which other rows happen to be in its batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from transformers import DynamicCache

from exante.models.cache import attends_to_all, left_after, roomy_cache
from exante.models.chat import Chat


class SamplingSettings(BaseModel):
    """How turns are sampled."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    n: int = Field(default=1, ge=1)
    """Turns per prompt."""
    max_new_tokens: int = Field(default=192, ge=1)
    """Most tokens sampled for one turn; a turn that reaches it is marked `length`."""
    temperature: float = Field(default=0.0, ge=0.0)
    """0 takes the most likely token."""
    seed: int = 0
    """Seeds the random stream of every row."""
    batch_size: int = Field(default=96, ge=1)
    """Rows decoded together."""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to answer."""

    id: str
    prompt_ids: tuple[int, ...]
    forced_ids: tuple[int, ...] = ()
    """First tokens of the turn, put there and not sampled."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sampled turn."""

    id: str
    sample: int
    token_ids: tuple[int, ...]
    """The whole turn: forced tokens, sampled tokens, EOS if it came."""
    logprobs: tuple[float, ...]
    """Of each sampled token, in nats, at temperature 1."""
    finish: Literal["stop", "length"]


@dataclass(slots=True)
class _Row:
    """A turn in the making."""

    request: Request
    sample: int
    uniforms: np.ndarray | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def start(self) -> tuple[int, ...]:
        return self.request.prompt_ids + self.request.forced_ids


def sample(
    model: Any, chat: Chat, requests: Sequence[Request], settings: SamplingSettings
) -> Iterator[Sampled]:
    """All turns of all requests, batch by batch: shortest prompts first, not in request order."""
    rows = [
        _Row(request, index, _uniforms(request.id, index, settings))
        for request in requests
        for index in range(settings.n)
    ]
    rows.sort(key=lambda row: len(row.start))
    for first in range(0, len(rows), settings.batch_size):
        yield from _decode(model, chat, rows[first : first + settings.batch_size], settings)


@torch.inference_mode()
def _decode(model: Any, chat: Chat, rows: list[_Row], settings: SamplingSettings) -> list[Sampled]:
    """Decode one batch; a row that ends leaves it, so nothing is computed for finished rows."""
    ids, mask = _left_padded([row.start for row in rows], chat.pad_id, model.device)
    width = ids.shape[1]
    cache = roomy_cache(model.config, width + settings.max_new_tokens)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    mask = torch.cat([mask, mask.new_ones(len(rows), settings.max_new_tokens)], dim=1)
    output = model(
        input_ids=ids,
        attention_mask=mask[:, :width],
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    live, last = list(rows), positions[:, -1]
    ready = _ready_mask(model, cache, mask)
    for step in range(settings.max_new_tokens):
        tokens, logprobs = _choose(output.logits[:, -1].float(), live, step, settings)
        for row, token, logprob in zip(live, tokens.tolist(), logprobs.tolist(), strict=True):
            row.tokens.append(token)
            row.logprobs.append(logprob)
        ended = [i for i, row in enumerate(live) if row.tokens[-1] == chat.eos_id]
        if len(ended) == len(live) or step + 1 == settings.max_new_tokens:
            break
        if ended:
            stay = left_after(ended, len(live))
            live = [live[i] for i in stay]
            keep = torch.tensor(stay, device=ids.device)
            tokens, last, ready = tokens[keep], last[keep], ready[keep]
            cache.batch_select_indices(keep)
        last = last + 1
        output = model(
            input_ids=tokens[:, None],
            attention_mask=ready[..., : width + step + 1],
            position_ids=last[:, None],
            past_key_values=cache,
            use_cache=True,
        )
    return [_finished(row, chat.eos_id) for row in rows]


def _ready_mask(model: Any, cache: DynamicCache, mask: Tensor) -> Tensor:
    """The mask of decoding steps as attention adds it, (rows, 1, 1, tokens), where one fits all.

    transformers would otherwise build the same mask anew at every step.
    """
    if not attends_to_all(cache) or model.config._attn_implementation not in ("sdpa", "eager"):
        return mask
    added = torch.zeros(mask.shape, dtype=model.dtype, device=mask.device)
    return added.masked_fill_(mask == 0, torch.finfo(model.dtype).min)[:, None, None]


def _choose(
    logits: Tensor, rows: Sequence[_Row], step: int, settings: SamplingSettings
) -> tuple[Tensor, Tensor]:
    """Next token of each row and its log-prob at temperature 1; logits are (rows, vocabulary)."""
    if settings.temperature == 0:
        tokens = logits.argmax(-1)
    else:
        draws = [0.0 if row.uniforms is None else float(row.uniforms[step]) for row in rows]
        cumulative = torch.softmax(logits.double() / settings.temperature, -1).cumsum(-1)
        uniform = torch.tensor(draws, dtype=torch.float64, device=logits.device)[:, None]
        # Scaled by the total, because a cumulative sum of floats ends a little beside 1.
        tokens = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)[:, 0]
        tokens = tokens.clamp(max=logits.shape[-1] - 1)
    logprobs = logits.gather(-1, tokens[:, None])[:, 0] - logits.logsumexp(-1)
    return tokens, logprobs


def _left_padded(
    sequences: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both (rows, longest)."""
    longest = max(map(len, sequences))
    ids = [[pad] * (longest - len(s)) + list(s) for s in sequences]
    mask = [[0] * (longest - len(s)) + [1] * len(s) for s in sequences]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _finished(row: _Row, eos: int) -> Sampled:
    return Sampled(
        id=row.request.id,
        sample=row.sample,
        token_ids=(*row.request.forced_ids, *row.tokens),
        logprobs=tuple(row.logprobs),
        finish="stop" if row.tokens[-1] == eos else "length",
    )


def _uniforms(request_id: str, index: int, settings: SamplingSettings) -> np.ndarray | None:
    if settings.temperature == 0:
        return None
    name = f"{settings.seed} {request_id} {index}".encode()
    seed = int.from_bytes(hashlib.sha256(name).digest()[:8], "little")
    return np.random.default_rng(seed).random(settings.max_new_tokens)
