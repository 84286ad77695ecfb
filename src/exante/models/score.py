"""Log-probs of given responses under a frozen model: the reference side of preference losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from exante.models.load import autocast
from exante.objectives.logprobs import response_logprobs, token_logprobs


@torch.inference_mode()
def score(
    model: Any,
    rows: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    pad_id: int,
    batch_tokens: int = 16_384,
    precision: str = "float32",
) -> list[float]:
    """Summed log-prob of each response given its prompt, in nats, in the given order.

    Rows are (prompt ids, response ids); equal rows are computed once. Matrix products run in
    `precision`, which must be that of the training the numbers are for; sums are float32.
    """
    unique = list(dict.fromkeys((tuple(p), tuple(r)) for p, r in rows))
    order = sorted(range(len(unique)), key=lambda i: len(unique[i][0]) + len(unique[i][1]))
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {}
    batch: list[int] = []
    for place, index in enumerate(order):
        batch.append(index)
        last = place + 1 == len(order)
        ahead = 0 if last else sum(map(len, unique[order[place + 1]]))
        if last or (len(batch) + 1) * ahead > batch_tokens:
            padded = right_padded([unique[i] for i in batch], pad_id, model.device)
            with autocast(model.device.type, precision):
                logits = model(input_ids=padded.ids, attention_mask=padded.attention).logits
            sums = response_logprobs(token_logprobs(logits, padded.ids), padded.response)
            found.update(zip((unique[i] for i in batch), sums.tolist(), strict=True))
            batch = []
    return [found[tuple(p), tuple(r)] for p, r in rows]


@dataclass(frozen=True, slots=True)
class Padded:
    """A batch of rows, each prompt then response, filled up at the right; all (rows, longest)."""

    ids: Tensor
    attention: Tensor
    """1 where there is a token."""
    response: Tensor
    """True at the response's tokens."""


def right_padded(
    rows: Sequence[tuple[Sequence[int], Sequence[int]]], pad_id: int, device: Any = "cpu"
) -> Padded:
    """The rows (prompt ids, response ids) as one batch."""
    longest = max(len(p) + len(r) for p, r in rows)
    ids = torch.full((len(rows), longest), pad_id)
    attention = torch.zeros(len(rows), longest, dtype=torch.long)
    response = torch.zeros(len(rows), longest, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor([*prompt, *answer])
        attention[row, :end] = 1
        response[row, len(prompt) : end] = True
    return Padded(ids.to(device), attention.to(device), response.to(device))
