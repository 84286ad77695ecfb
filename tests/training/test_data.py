"""Batches and their order: every item once, the same order every time, nothing cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exante.errors import InputError
from exante.records import Pair
from exante.training.data import (
    LengthWindows,
    TokenRow,
    check_pairs,
    check_rows,
    collate_pairs,
    collate_rows,
)
from exante.training.settings import TrainSettings

EOS = 1


def row(prompt: int, response: int, name: str = "r") -> TokenRow:
    return TokenRow(name, tuple(range(2, 2 + prompt)), (*range(50, 49 + response), EOS))


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=200),
    batch=st.integers(1, 9),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_every_item_comes_once_in_an_order_of_seed_and_epoch(
    lengths: list[int], batch: int, seed: int, epoch: int
) -> None:
    first, again = LengthWindows(lengths, batch, seed), LengthWindows(lengths, batch, seed)
    first.set_epoch(epoch)
    again.set_epoch(epoch)
    order = list(first)
    assert sorted(order) == list(range(len(lengths)))
    assert order == list(again)
    assert len(first) == len(order)


def test_epochs_differ_and_batches_hold_similar_lengths() -> None:
    lengths = [(i * 37) % 200 + 1 for i in range(160)]
    sampler = LengthWindows(lengths, 8, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler)
    batches = [first[i : i + 8] for i in range(0, 160, 8)]
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    assert sum(spread) / len(spread) < 30


def test_the_prompt_and_the_padding_carry_no_weight() -> None:
    batch = collate_rows([row(3, 2, "a"), row(1, 6, "b")], pad_id=0)
    assert batch["ids"].shape == (2, 7)
    assert batch["weights"].tolist() == [[0, 0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 1, 1, 1]]
    assert batch["attention"].sum(1).tolist() == [5, 7]
    assert batch["ids"][0, 5:].tolist() == [0, 0]


def test_pairs_are_all_chosen_then_all_rejected() -> None:
    pair = Pair(
        example_id="a",
        prompt_ids=(5, 6),
        chosen_ids=(7, EOS),
        rejected_ids=(8, 9, EOS),
        kind="safety",
        why="",
        margin=0.25,
        weight=2.0,
        chosen_reference=-1.0,
        rejected_reference=-2.0,
    )
    batch = collate_pairs([pair, pair], pad_id=0)
    assert batch["ids"].tolist() == [[5, 6, 7, EOS, 0]] * 2 + [[5, 6, 8, 9, EOS]] * 2
    assert batch["response"].sum(1).tolist() == [2, 2, 3, 3]
    assert batch["margin"].tolist() == [0.25, 0.25]
    assert batch["weight"].tolist() == [2.0, 2.0]
    assert torch.equal(batch["ref_rejected"], torch.tensor([-2.0, -2.0]))


def test_rows_that_teach_nothing_or_never_to_stop_are_refused() -> None:
    settings = TrainSettings()
    with pytest.raises(InputError, match="no supervised token"):
        check_rows([TokenRow("a", (2,), ())], EOS, 99, settings)
    with pytest.raises(InputError, match="does not end in EOS"):
        check_rows([TokenRow("a", (2,), (3, 4))], EOS, 99, settings)
    with pytest.raises(InputError, match="nothing to train on"):
        check_rows([], EOS, 99, settings)


def test_overlong_rows_are_never_cut() -> None:
    rows = [row(3, 4, "short"), row(30, 40, "long")]
    with pytest.raises(InputError, match="1 of 2 rows are longer than 20 tokens"):
        check_rows(rows, EOS, 20, TrainSettings(on_overlong="error"))
    assert check_rows(rows, EOS, 20, TrainSettings()) == rows[:1]
    with pytest.raises(InputError, match="longer than 5"):
        check_rows(rows, EOS, 5, TrainSettings())


def test_pairs_with_an_empty_side_are_refused() -> None:
    pair = Pair(
        example_id="p", prompt_ids=(2,), chosen_ids=(3,), rejected_ids=(), kind="safety", why=""
    )
    with pytest.raises(InputError, match="empty side"):
        check_pairs([pair], 99, TrainSettings())
