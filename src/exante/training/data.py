"""Rows and pairs as groups and batches, in a deterministic order that a resumed run repeats."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch.utils.data import Dataset, Sampler

from exante.errors import InputError
from exante.models.packed import Group, Ids, pack, within_budget
from exante.records import Pair
from exante.training.settings import TrainSettings

_WINDOW = 16
"""Batches within which items are sorted by length."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One supervised turn: loss on the response, none on the prompt."""

    example_id: str
    prompt_ids: Ids
    response_ids: Ids
    weight: float | tuple[float, ...] = 1.0
    """Weight of its tokens: of each its own, or one for all; a negative one unlearns."""
    targets: Ids = ()
    """What is learned in the place of each token, after reading the tokens themselves; empty learns
    these."""
    pull: float | tuple[float, ...] = 0.0
    """Weight of the distance from the reference, of each token or of all."""
    references: tuple[float, ...] = ()
    """Reference log-prob of each learned token in nats, where a token is pulled."""

    @property
    def length(self) -> int:
        """Tokens of prompt and response."""
        return len(self.prompt_ids) + len(self.response_ids)

    @property
    def group(self) -> Group:
        """The row as the engine takes it."""
        return Group(self.prompt_ids, (self.response_ids,), (self.targets,) if self.targets else ())

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each token."""
        return _each(self.weight, len(self.response_ids))

    @property
    def pulls(self) -> tuple[float, ...]:
        """The pull of each token."""
        return _each(self.pull, len(self.response_ids))


def _each(value: float | tuple[float, ...], count: int) -> tuple[float, ...]:
    found = value if isinstance(value, tuple) else (value,) * count
    if len(found) != count:
        raise ValueError(f"{len(found)} values for {count} tokens")
    return found


@dataclass(frozen=True, slots=True)
class PairGroup:
    """All pairs of one prompt; a response that several pairs share is there once."""

    group: Group
    pairs: tuple[Pair, ...]
    chosen: tuple[int, ...]
    """Of each pair, the number of its chosen response in the group."""
    rejected: tuple[int, ...]
    references: tuple[float, ...]
    """Reference log-prob of each response, in nats."""


class Batchable(Protocol):
    """What the engine can lay out."""

    @property
    def group(self) -> Group:
        """Prompt and responses."""
        ...


T = TypeVar("T", bound=Batchable)
_Item = TypeVar("_Item")
Parts = list[dict[str, Any]]
"""A batch, in parts that go through the model one after the other."""


class Collate(Protocol):
    """Items of a batch to parts; `of` is the whole batch where they are only a share of it."""

    def __call__(self, items: Sequence[Any], /, *, of: Sequence[Any] | None = None) -> Parts:
        """The parts of these items."""
        ...


def groups_of(pairs: Sequence[Pair]) -> list[PairGroup]:
    """Pairs by prompt, in the order of each prompt's first pair.

    Raises:
        ValueError: a pair has no reference log-probs.
    """
    by_prompt: dict[Ids, list[Pair]] = {}
    for pair in pairs:
        by_prompt.setdefault(pair.prompt_ids, []).append(pair)
    return [_group(prompt, members) for prompt, members in by_prompt.items()]


def _group(prompt: Ids, pairs: Sequence[Pair]) -> PairGroup:
    known: dict[Ids, float] = {}
    for pair in pairs:
        if pair.chosen_reference is None or pair.rejected_reference is None:
            raise ValueError(f"{pair.example_id}: reference log-probs are missing")
        known[pair.chosen_ids] = pair.chosen_reference
        known[pair.rejected_ids] = pair.rejected_reference
    place = {response: number for number, response in enumerate(known)}
    return PairGroup(
        group=Group(prompt, tuple(known)),
        pairs=tuple(pairs),
        chosen=tuple(place[pair.chosen_ids] for pair in pairs),
        rejected=tuple(place[pair.rejected_ids] for pair in pairs),
        references=tuple(known.values()),
    )


def collate_rows(
    rows: Sequence[TokenRow],
    pad_id: int,
    tokens: int,
    *,
    shared: bool,
    of: Sequence[TokenRow] | None = None,
) -> Parts:
    """One batch of rows; its loss is a mean over the tokens of the whole batch that count.

    A token counts if it has a weight or a pull. References are there if any token is pulled.

    Raises:
        ValueError: a token is pulled, and its reference log-prob is missing.
    """
    batch = of or rows
    held = any(any(row.pulls) for row in batch)
    whole = sum(w != 0 or p != 0 for r in batch for w, p in zip(r.weights, r.pulls, strict=True))
    parts: Parts = []
    for members in in_parts(rows, tokens):
        packed = pack([row.group for row in members], pad_id, shared=shared)
        part = {
            "inputs": packed.inputs(),
            "weights": torch.tensor([weight for row in members for weight in row.weights]),
            "whole": max(1, whole),
            "example_ids": [row.example_id for row in members],
        }
        if held:
            part["pulls"] = torch.tensor([pull for row in members for pull in row.pulls])
            part["references"] = torch.tensor([r for row in members for r in _references(row)])
        parts.append(part)
    return parts


def _references(row: TokenRow) -> tuple[float, ...]:
    """The reference log-probs of a row; any number does where nothing is pulled."""
    if any(row.pulls) and len(row.references) != len(row.response_ids):
        raise ValueError(f"{row.example_id}: reference log-probs are missing")
    return row.references or (0.0,) * len(row.response_ids)


def collate_pairs(
    groups: Sequence[PairGroup],
    pad_id: int,
    tokens: int,
    *,
    shared: bool,
    of: Sequence[PairGroup] | None = None,
) -> Parts:
    """One batch of groups; its loss is a mean over the pairs of the whole batch.

    Per response: reference and length. Per pair: the numbers of its two responses, margin, weight,
    reference log-probs of their fronts, kind, and tokens of the traces.
    """
    whole = sum(len(group.pairs) for group in of or groups)
    parts: Parts = []
    for members in in_parts(groups, tokens):
        packed = pack([group.group for group in members], pad_id, shared=shared)
        chosen: list[int] = []
        rejected: list[int] = []
        start = 0
        for group in members:
            chosen += [start + number for number in group.chosen]
            rejected += [start + number for number in group.rejected]
            start += len(group.group.responses)
        pairs = [pair for group in members for pair in group.pairs]
        parts.append(
            {
                "inputs": packed.inputs(),
                "owners": packed.owners,
                "chosen": torch.tensor(chosen),
                "rejected": torch.tensor(rejected),
                "references": torch.tensor([r for group in members for r in group.references]),
                "lengths": torch.tensor([len(r) for g in members for r in g.group.responses]),
                "margin": torch.tensor([pair.margin for pair in pairs]),
                "weight": torch.tensor([pair.weight for pair in pairs]),
                "chosen_front": _known([pair.chosen_front for pair in pairs]),
                "rejected_front": _known([pair.rejected_front for pair in pairs]),
                "chosen_trace": torch.tensor([pair.chosen_trace_tokens for pair in pairs]),
                "rejected_trace": torch.tensor([pair.rejected_trace_tokens for pair in pairs]),
                "whole": whole,
                "kinds": [pair.kind for pair in pairs],
                "example_ids": [pair.example_id for pair in pairs],
            }
        )
    return parts


def _known(values: Sequence[float | None]) -> torch.Tensor:
    """What was not scored is not a number, so that no loss can take it for one."""
    return torch.tensor([math.nan if value is None else value for value in values])


def in_parts(items: Sequence[T], tokens: int) -> Iterator[list[T]]:
    """The items by falling length, in parts of at most so many tokens."""
    ordered = sorted(items, key=lambda item: -item.group.tokens)
    first = 0
    for part in within_budget([item.group for item in ordered], tokens):
        yield ordered[first : first + len(part)]
        first += len(part)


class Items(Dataset[Any]):
    """A list as a dataset whose index is a whole batch of places."""

    def __init__(self, items: Sequence[Any]) -> None:
        """Items in a fixed order; the sampler chooses among them."""
        self.items = items

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    def __getitem__(self, batch: Sequence[int]) -> list[Any]:
        """The items of one batch."""
        return [self.items[index] for index in batch]


class LengthWindows(Sampler[list[int]]):
    """Shuffled batches of similar length: order depends on seed and epoch alone."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """Lengths in tokens, one per item."""
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of a pass, from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches of one pass."""
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Batches of indices: sorted by length within windows, batches shuffled."""
        rng = random.Random(f"{self.seed} {self.epoch}")
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        window = self.batch_size * _WINDOW
        batches: list[list[int]] = []
        for first in range(0, len(order), window):
            part = sorted(order[first : first + window], key=lambda i: self.lengths[i])
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        rng.shuffle(batches)
        return iter(batches)


def check_rows(
    rows: Sequence[TokenRow], stop_ids: Collection[int], limit: int, settings: TrainSettings
) -> list[TokenRow]:
    """The rows that fit, after checking that each can teach something and teaches to stop.

    Raises:
        InputError: no rows; a row without prompt, without supervised tokens or, if it is learned as
            it stands, without the end of a turn; a row longer than `limit` under
            `on_overlong: error`, or nothing but such rows.
    """
    for row in rows:
        _require_prompt(row.prompt_ids, row.example_id)
        if not row.response_ids:
            raise InputError(
                "a row has no supervised token",
                where=row.example_id,
                fix="leave out turns that say nothing",
            )
        if not row.targets and row.response_ids[-1] not in stop_ids:
            raise InputError(
                "a row does not end its turn, so the model would not learn to stop",
                where=row.example_id,
                fix="leave out turns that were cut by the length limit",
            )
    return _fitting(rows, [row.length for row in rows], limit, settings)


def check_pairs(pairs: Sequence[Pair], limit: int, settings: TrainSettings) -> list[Pair]:
    """The pairs whose longer side fits; see `check_rows`."""
    for pair in pairs:
        _require_prompt(pair.prompt_ids, pair.example_id)
        if not pair.chosen_ids or not pair.rejected_ids:
            raise InputError(
                "a pair has an empty side",
                where=pair.example_id,
                fix="leave out pairs with a turn that says nothing",
            )
    return _fitting(pairs, [_longer_side(pair) for pair in pairs], limit, settings)


def _require_prompt(prompt: Ids, where: str) -> None:
    if not prompt:
        raise InputError(
            "the prompt has no token, so nothing predicts the first one of the response",
            where=where,
            fix="render prompts with the model's chat template",
        )


def _longer_side(pair: Pair) -> int:
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))


def _fitting(
    items: Sequence[_Item], lengths: Sequence[int], limit: int, settings: TrainSettings
) -> list[_Item]:
    if not items:
        raise InputError(
            "there is nothing to train on",
            fix="see `summary` in stage.json of the step that wrote its items: every one was "
            "rejected, or none was made",
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
