"""Keys and values of a batch in memory that is taken once and written in place.

transformers' own cache copies everything it holds at every token, which is most of the time of a
small model; this one is the same to the model, and rows that end leave it almost for free.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class RoomyLayer(DynamicLayer):
    """A layer with room for `capacity` tokens; `keys` and `values` are views of what is used."""

    def __init__(self, capacity: int) -> None:
        """`capacity` counts prompt, forced and sampled tokens of the longest row."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.capacity = capacity
        self.used = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take the memory, once the shapes are known: (rows, heads, tokens, head size)."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._keys = key_states.new_empty(
            (*key_states.shape[:2], self.capacity, key_states.shape[3])
        )
        self._values = value_states.new_empty(
            (*value_states.shape[:2], self.capacity, value_states.shape[3])
        )
        self._show(key_states.shape[0])
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Append the new tokens' keys and values; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, start = key_states.shape[0], self.used
        self.used += key_states.shape[2]
        self._keys[:rows, :, start : self.used] = key_states
        self._values[:rows, :, start : self.used] = value_states
        return self._show(rows)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Row `i` becomes the former row `indices[i]`; only rows that move are copied."""
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero()[:, 0]
        if len(moved):
            for held in (self._keys, self._values):
                held[moved, :, : self.used] = held[indices[moved], :, : self.used]
        self._show(len(indices))

    def _show(self, rows: int) -> tuple[Tensor, Tensor]:
        used = self._keys[:rows, :, : self.used], self._values[:rows, :, : self.used]
        self.keys, self.values = used
        return used


def roomy_cache(config: Any, capacity: int) -> DynamicCache:
    """A cache for a model of this config; layers that do not attend to everything stay as is."""
    cache = DynamicCache(config=config)
    cache.layers = [
        RoomyLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def attends_to_all(cache: DynamicCache) -> bool:
    """Does every layer see all earlier tokens, so that one mask fits all layers?"""
    return all(isinstance(layer, RoomyLayer) for layer in cache.layers)


def left_after(ended: list[int], rows: int) -> list[int]:
    """Former places of the rows that stay, when `ended` leave: gaps are filled from the end."""
    gone = set(ended)
    count = rows - len(gone)
    spare = iter(row for row in range(count, rows) if row not in gone)
    return [next(spare) if row in gone else row for row in range(count)]
