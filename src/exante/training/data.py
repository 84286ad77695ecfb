"""Rows and pairs as datasets and batches, in a deterministic order that a resumed run repeats."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Sampler

from exante.errors import InputError
from exante.models.score import right_padded
from exante.records import Pair
from exante.training.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One supervised turn: loss on the response, none on the prompt."""

    example_id: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    weight: float = 1.0
    """Weight of each of its tokens."""

    @property
    def length(self) -> int:
        """Tokens of prompt and response."""
        return len(self.prompt_ids) + len(self.response_ids)


def collate_rows(rows: Sequence[TokenRow], pad_id: int) -> dict[str, Any]:
    """One batch of rows: ids, attention, weights (0 on prompt and padding), and who they are."""
    padded = right_padded([(r.prompt_ids, r.response_ids) for r in rows], pad_id)
    weights = torch.tensor([r.weight for r in rows])[:, None] * padded.response
    return {
        "ids": padded.ids,
        "attention": padded.attention,
        "weights": weights,
        "example_ids": [r.example_id for r in rows],
    }


def collate_pairs(pairs: Sequence[Pair], pad_id: int) -> dict[str, Any]:
    """One batch of pairs: all chosen rows, then all rejected ones, and what the loss needs."""
    rows = [(p.prompt_ids, p.chosen_ids) for p in pairs]
    rows += [(p.prompt_ids, p.rejected_ids) for p in pairs]
    padded = right_padded(rows, pad_id)
    return {
        "ids": padded.ids,
        "attention": padded.attention,
        "response": padded.response,
        "ref_chosen": torch.tensor([p.chosen_reference for p in pairs]),
        "ref_rejected": torch.tensor([p.rejected_reference for p in pairs]),
        "margin": torch.tensor([p.margin for p in pairs]),
        "weight": torch.tensor([p.weight for p in pairs]),
        "kinds": [p.kind for p in pairs],
        "example_ids": [p.example_id for p in pairs],
    }


class LengthWindows(Sampler[int]):
    """Shuffled batches of similar length: order depends on seed and epoch alone."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """Lengths in tokens, one per item."""
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate before each pass, also when a run is resumed."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Items of one pass."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Indices: sorted by length within windows of 16 batches, batches shuffled."""
        rng = random.Random(f"{self.seed} {self.epoch}")
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        window = self.batch_size * 16
        batches: list[list[int]] = []
        for first in range(0, len(order), window):
            part = sorted(order[first : first + window], key=lambda i: self.lengths[i])
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        rng.shuffle(batches)
        # A short batch in the middle would shift all later ones across batch borders.
        batches.sort(key=lambda batch: len(batch) < self.batch_size)
        return iter([index for batch in batches for index in batch])


def check_rows(rows: Sequence[TokenRow], eos_id: int, limit: int, settings: TrainSettings) -> Any:
    """The rows that fit, after checking that each can teach something and teaches to stop.

    Raises:
        InputError: no rows; a row without supervised tokens or without EOS at its end; a row longer
            than `limit` under `on_overlong: error`, or nothing but such rows.
    """
    for row in rows:
        if not row.response_ids:
            raise InputError("a row has no supervised token", where=row.example_id)
        if row.response_ids[-1] != eos_id:
            raise InputError(
                "a row does not end in EOS, so the model would not learn to stop",
                where=row.example_id,
                fix="leave out turns that were cut by the length limit",
            )
    return _fitting(rows, [row.length for row in rows], limit, settings)


def check_pairs(pairs: Sequence[Pair], limit: int, settings: TrainSettings) -> Any:
    """The pairs whose longer side fits; see `check_rows`."""
    for pair in pairs:
        if not pair.chosen_ids or not pair.rejected_ids:
            raise InputError("a pair has an empty side", where=pair.example_id)
    return _fitting(pairs, [pair_length(pair) for pair in pairs], limit, settings)


def pair_length(pair: Pair) -> int:
    """Tokens of the prompt and the longer response."""
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))


def _fitting(
    items: Sequence[Any], lengths: Sequence[int], limit: int, settings: TrainSettings
) -> Any:
    if not items:
        raise InputError(
            "there is nothing to train on",
            fix="look at the counts of the step before: every item was dropped, or none was made",
        )
    fitting = [item for item, length in zip(items, lengths, strict=True) if length <= limit]
    dropped = len(items) - len(fitting)
    if dropped and (settings.on_overlong == "error" or not fitting):
        raise InputError(
            f"{dropped} of {len(items)} rows are longer than {limit} tokens (longest: "
            f"{max(lengths)}); rows are never cut",
            fix="raise train.max_length, shorten the rows, or set train.on_overlong to drop",
        )
    return fitting
