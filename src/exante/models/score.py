"""Log-probs of given responses under a frozen model: the reference side of preference losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from exante.models.devices import autocast
from exante.models.forward import can_share, choose_attention, scoring
from exante.models.packed import Group, Ids, Packed, grouped, pack, within_budget
from exante.models.ranks import gathered
from exante.objectives.logprobs import response_sums

BATCH_TOKENS = 16_384
"""Tokens, with padding, that go through the model at once."""


@torch.inference_mode()
def score(
    model: Any,
    rows: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    pad_id: int,
    batch_tokens: int = BATCH_TOKENS,
    precision: str = "float32",
    shared: bool | None = None,
    divided: bool = False,
) -> list[float]:
    """Summed log-prob of each response given its prompt, in nats, in the given order.

    Rows are (prompt ids, response ids); equal rows are computed once, equal prompts where the model
    allows it. Matrix products run in `precision`, which must be that of the training the numbers
    are for; sums are float32. Whoever scores often finds out once whether the model gives the same
    in shared rows (`can_share`) and says so; None finds out now. Where the weights are `divided`
    among processes, all of them must call this together, each with rows of its own.
    """
    wanted = [(tuple(prompt), tuple(response)) for prompt, response in rows]
    shared = can_share(model) if shared is None else shared
    found: dict[tuple[Ids, Ids], float] = {}
    for batch, packed, logprobs in _scored(
        model, grouped(wanted), pad_id, batch_tokens, precision, shared, divided
    ):
        keys = [(group.prompt, response) for group in batch for response in group.responses]
        sums = response_sums(logprobs, packed.owners.to(logprobs.device), len(keys))
        found.update(zip(keys, sums.tolist(), strict=True))
    return [found[key] for key in wanted]


@torch.inference_mode()
def token_logprobs(
    model: Any,
    groups: Sequence[Group],
    *,
    pad_id: int,
    precision: str = "float32",
    shared: bool | None = None,
    divided: bool = False,
) -> dict[Group, tuple[float, ...]]:
    """Log-prob of each scored token of a group, in nats, in the order of its responses.

    `shared` and `divided` are those of `score`.
    """
    unique = list(dict.fromkeys(groups))
    shared = can_share(model) if shared is None else shared
    found: dict[Group, tuple[float, ...]] = {}
    for batch, _, logprobs in _scored(
        model, unique, pad_id, BATCH_TOKENS, precision, shared, divided
    ):
        sizes = [sum(map(len, group.responses)) for group in batch]
        for group, part in zip(batch, logprobs.cpu().split(sizes), strict=True):
            found[group] = tuple(part.tolist())
    return found


def _scored(
    model: Any,
    groups: Sequence[Group],
    pad_id: int,
    batch_tokens: int,
    precision: str,
    shared: bool,
    divided: bool,
) -> Iterator[tuple[list[Group], Packed, Tensor]]:
    """The groups in batches of similar length, each with the log-probs of its scored tokens."""
    choose_attention(model, max(group.tokens for group in groups))
    batches = list(within_budget(sorted(groups, key=lambda group: group.tokens), batch_tokens))
    # Weights are exchanged layer by layer: whoever is done first runs its last batch for nothing.
    needed = max(gathered(len(batches))) if divided else len(batches)
    with scoring(model, shared=shared):
        for number in range(needed):
            batch = batches[min(number, len(batches) - 1)]
            packed = pack(batch, pad_id, shared=shared)
            inputs = {name: value.to(model.device) for name, value in packed.inputs().items()}
            with autocast(model.device.type, precision):
                logprobs = model(**inputs)
            if number < len(batches):
                yield batch, packed, logprobs
