"""Rows that join and leave while others are decoded, each with settings of its own: for servers.

The same slots and the same steps as in `sample`; what a row's tokens mean is its owner's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from exante.errors import InputError
from exante.models.cache import SlotCache, has_slots
from exante.models.sample import Decoder, Ends, Row, SamplingSettings, draw, uniforms_of

_JOINING_TOKENS = 16_384
"""Most tokens of prompts, with padding, that are read at once while the others wait."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveRow(Row):
    """One turn to be sampled, in its own way."""

    settings: SamplingSettings


@dataclass(frozen=True, slots=True)
class Step:
    """One more token of a row."""

    row: LiveRow
    token: int
    finish: Literal["stop", "length"] | None
    """Is it the last one, and why?"""


class LiveDecoder(Decoder):
    """Decodes whatever rows there are; for one thread."""

    def __init__(self, model: Any, chat: Ends, rows: int, columns: int) -> None:
        """Room for `rows` rows of at most `columns` tokens, prompts included.

        Raises:
            InputError: the model keeps something else than keys and values between tokens.
        """
        if not has_slots(model.config):
            raise InputError(
                f"cannot serve {type(model).__name__}: its layers keep a state",
                fix="use a model with attention in every layer",
            )
        widest = SamplingSettings(max_new_tokens=columns, temperature=1.0)
        super().__init__(model, chat, widest, SlotCache(model.config, rows, columns))
        self.columns = columns
        self._paths: dict[LiveRow, tuple[tuple[int, ...], ...]] = {}

    @property
    def live(self) -> int:
        """Rows in use."""
        return self.cache.slots.live

    def restrict(self, row: LiveRow, paths: Sequence[tuple[int, ...]]) -> None:
        """The row's next tokens are one of these sequences, chosen token by token as it samples."""
        self._paths[row] = tuple(paths)

    @torch.inference_mode()
    def drop(self, rows: Collection[LiveRow]) -> None:
        """End rows before their time; those that are gone already are passed over."""
        self._gone([place for place, row in enumerate(self._live_rows()) if row in rows])

    @torch.inference_mode()
    def advance(self, joining: Sequence[LiveRow] = ()) -> list[Step]:
        """The first token of rows that join, if there are any; else the next one of every row."""
        first = self.live
        if joining:
            states = self.admit(list(joining))
        else:
            states, first = self.step(), 0
        rows = self._live_rows()[first:]
        tokens = self._next(rows, self.logits(states), first).tolist()
        counts = self.counts[first : self.live].tolist()
        found = zip(rows, tokens, counts, strict=True)
        steps = [Step(row, token, self._finish(row, token, count)) for row, token, count in found]
        self._gone([first + place for place, step in enumerate(steps) if step.finish])
        return steps

    def taken(self, waiting: deque[LiveRow]) -> list[LiveRow]:
        """The first of the waiting, as many as there is room for and as are read in one go."""
        joining: list[LiveRow] = []
        longest = 0
        while waiting and self.live + len(joining) < self.cache.slots.rows:
            longest = max(longest, len(waiting[0].start))
            if joining and longest * (len(joining) + 1) > _JOINING_TOKENS:
                break
            joining.append(waiting.popleft())
        return joining

    def drawn(self, row: Row) -> np.ndarray:
        """By the row's own seed."""
        numbers = np.zeros(self.columns, dtype=np.float32)
        if isinstance(row, LiveRow) and row.settings.temperature:
            own = uniforms_of(row, row.settings)
            numbers[: len(own)] = own
        return numbers

    def _live_rows(self) -> list[LiveRow]:
        return [row for row in self.rows if isinstance(row, LiveRow)]

    def _next(self, rows: Sequence[LiveRow], logits: Tensor, first: int) -> Tensor:
        """The next token of these rows, which stand from place `first` on; (rows,)."""
        for place, row in enumerate(rows):
            if row in self._paths:
                heads = sorted({path[0] for path in self._paths[row]})
                kept = logits[place, heads].clone()
                logits[place] = -torch.inf
                logits[place, heads] = kept
        last = first + len(rows)
        places = torch.arange(first, last, device=self.device)
        counts = self.counts[first:last].clone()
        tokens = logits.argmax(-1)
        heat = [row.settings.temperature for row in rows]
        if any(heat):
            hot = torch.tensor(heat, device=self.device)
            scaled = logits / torch.where(hot > 0, hot, 1.0)[:, None]
            tokens = torch.where(hot > 0, draw(scaled, self.uniforms[places, counts]), tokens)
        self.tokens[places, counts] = tokens
        self.counts[first:last] = counts + 1
        return tokens

    def _finish(self, row: LiveRow, token: int, count: int) -> Literal["stop", "length"] | None:
        """Why the row ends with its newest token, if it does; its paths are followed on."""
        followed = [path[1:] for path in self._paths.pop(row, ()) if path[0] == token]
        if followed and all(followed):
            self._paths[row] = tuple(followed)
        if token in self.chat.stop_ids:
            return "stop"
        return "length" if count == row.settings.max_new_tokens else None

    def _gone(self, places: list[int]) -> None:
        for row in [self._live_rows()[place] for place in places]:
            self._paths.pop(row, None)
        if places:
            self.leave(places)
