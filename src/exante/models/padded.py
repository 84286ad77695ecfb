"""Rows of token ids as plain padded batches, for what runs outside the packed engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def right_padded(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both (rows, longest)."""
    longest = max(map(len, rows))
    ids = [[*row, *[pad_id] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


def within_tokens(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Places in batches of similar length and at most `tokens`, padding included.

    The longest come first, so that a lack of memory shows early; one longer than `tokens` is alone.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
