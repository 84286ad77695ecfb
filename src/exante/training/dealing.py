"""Which process runs what of a batch, so that all of them together do what one alone would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler

from exante.models.ranks import Ranks
from exante.training.data import Collate, LengthWindows, Parts, T, in_parts

IDLE = "idle"
"""In a part that only keeps step with other processes: its loss does not count."""


def shares(items: Sequence[T], count: int) -> list[list[T]]:
    """The items of a batch for each of `count` processes: about as many tokens for all.

    The largest goes first, each to whoever has least; some get nothing of a small batch.
    """
    if count == 1:
        return [list(items)]
    dealt: list[list[T]] = [[] for _ in range(count)]
    tokens = [0] * count
    for item in sorted(items, key=lambda item: -item.group.tokens):
        least = tokens.index(min(tokens))
        dealt[least].append(item)
        tokens[least] += item.group.tokens
    return dealt


def collate_share(batch: Sequence[Any], mine: Ranks, tokens: int, collate: Collate) -> Parts:
    """This process's parts of a batch, as many as any other process has.

    Divided weights and averaged gradients are exchanged part by part, so that a process with less
    to do runs the batch's smallest item for nothing.
    """
    if mine.count == 1:
        return collate(batch)
    dealt = shares(batch, mine.count)
    parts = collate(own, of=batch) if (own := dealt[mine.number]) else []
    needed = max(len(list(in_parts(share, tokens))) for share in dealt)
    smallest = min(batch, key=lambda item: item.group.tokens)
    idle = [{**part, IDLE: True} for part in collate([smallest], of=batch)]
    return parts + idle * (needed - len(parts))


class Repeated(Sampler[list[int]]):
    """Every batch once for each process: accelerate deals batches out in turn."""

    def __init__(self, batches: LengthWindows, count: int) -> None:
        """`count` processes."""
        self.batches = batches
        self.count = count

    def __len__(self) -> int:
        """Batches of one pass, over all processes."""
        return len(self.batches) * self.count

    def __iter__(self) -> Iterator[list[int]]:
        """The batches in their order."""
        return (batch for batch in self.batches for _ in range(self.count))
