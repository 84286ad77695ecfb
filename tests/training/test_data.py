"""Batches and their order: every item once, the same order every time, nothing cut."""

from __future__ import annotations

from typing import Any

import pytest
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
    groups_of,
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
    batches = list(first)
    assert sorted(index for members in batches for index in members) == list(range(len(lengths)))
    assert batches == list(again)
    assert len(first) == len(batches)
    assert max(map(len, batches)) <= batch


def test_epochs_differ_and_batches_hold_similar_lengths() -> None:
    lengths = [(i * 37) % 200 + 1 for i in range(160)]
    sampler = LengthWindows(lengths, 8, seed=0)
    batches = list(sampler)
    sampler.set_epoch(1)
    assert batches != list(sampler)
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    assert sum(spread) / len(spread) < 30


def test_every_response_token_has_the_weight_of_its_row() -> None:
    rows = [row(3, 2, "a"), TokenRow("b", (5,), (6, 7, EOS), weight=0.5)]
    (part,) = collate_rows(rows, pad_id=0, tokens=99, shared=True)
    assert part["weights"].tolist() == [1, 1, 0.5, 0.5, 0.5]
    assert part["whole"] == 5
    assert part["example_ids"] == ["a", "b"]


def test_every_token_has_a_weight_of_its_own_if_it_is_given_one() -> None:
    rows = [
        TokenRow("a", (5, 5, 5), (6, 7, EOS), weight=(0.5, 0.0, -1.0), targets=(8, 8, 8)),
        TokenRow("b", (5,), (6, EOS), weight=0.0),
    ]
    (part,) = collate_rows(rows, pad_id=0, tokens=99, shared=True)
    assert part["weights"].tolist() == [0.5, 0, -1, 0, 0]
    assert part["inputs"]["targets"].tolist() == [8, 8, 8, 6, EOS]
    assert part["whole"] == 2
    assert "pulls" not in part


def test_pulled_tokens_bring_their_references() -> None:
    rows = [
        TokenRow("a", (5,), (6, 7, EOS), (0.0, 1.0, 0.0), (), (0.5, 0.0, 0.0), (-1.0, -2.0, -3.0)),
        TokenRow("b", (5,), (6, EOS)),
    ]
    (part,) = collate_rows(rows, pad_id=0, tokens=99, shared=True)
    assert part["pulls"].tolist() == [0.5, 0, 0, 0, 0]
    assert part["references"].tolist() == [-1, -2, -3, 0, 0]
    assert part["whole"] == 4
    # Parts of one batch agree on what they hold, whichever of them is pulled.
    parts = collate_rows(rows, pad_id=0, tokens=3, shared=True)
    assert ["pulls" in part for part in parts] == [True, True]


def test_values_that_stand_for_no_token_or_are_missing_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values for 3 tokens"):
        collate_rows([TokenRow("a", (5,), (6, 7, 1), (1.0, 1.0))], 0, 99, shared=True)
    with pytest.raises(ValueError, match="a: reference log-probs are missing"):
        collate_rows([TokenRow("a", (5,), (6, 7, 1), pull=0.5)], 0, 99, shared=True)


def test_a_large_batch_is_split_and_still_weighs_by_the_whole() -> None:
    rows = [row(10, 10, str(i)) for i in range(6)]
    parts = collate_rows(rows, pad_id=0, tokens=40, shared=True)
    assert [len(part["example_ids"]) for part in parts] == [2, 2, 2]
    assert {part["whole"] for part in parts} == {60}


def a_pair(prompt: tuple[int, ...], chosen: int, rejected: int, **fields: Any) -> Pair:
    return Pair(
        example_id=str(prompt),
        prompt_ids=prompt,
        chosen_ids=(chosen, EOS),
        rejected_ids=(rejected, rejected, EOS),
        kind="safety",
        why="",
        chosen_reference=-1.0 * chosen,
        rejected_reference=-2.0 * rejected,
        **fields,
    )


def test_a_response_of_several_pairs_is_laid_out_once() -> None:
    pairs = [a_pair((5, 6), 7, 8, margin=0.25), a_pair((4,), 7, 8), a_pair((5, 6), 7, 9, weight=2)]
    groups = groups_of(pairs)
    assert [group.group.responses for group in groups] == [
        ((7, EOS), (8, 8, EOS), (9, 9, EOS)),
        ((7, EOS), (8, 8, EOS)),
    ]
    (part,) = collate_pairs(groups, pad_id=0, tokens=99, shared=True)
    assert part["chosen"].tolist() == [0, 0, 3]
    assert part["rejected"].tolist() == [1, 2, 4]
    assert part["references"].tolist() == [-7, -16, -18, -7, -16]
    assert part["lengths"].tolist() == [2, 3, 3, 2, 3]
    assert part["margin"].tolist() == [0.25, 0, 0]
    assert part["weight"].tolist() == [1, 2, 1]
    assert part["owners"].tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4]
    assert part["whole"] == 3


def test_parts_of_a_batch_number_their_own_responses() -> None:
    groups = groups_of([a_pair((number,) * 9, 7, 8) for number in (2, 3, 4)])
    parts = collate_pairs(groups, pad_id=0, tokens=20, shared=True)
    assert [part["chosen"].tolist() for part in parts] == [[0], [0], [0]]
    assert {part["whole"] for part in parts} == {3}


def test_pairs_without_reference_make_no_group() -> None:
    pair = a_pair((5,), 7, 8).model_copy(update={"chosen_reference": None})
    with pytest.raises(ValueError, match="missing"):
        groups_of([pair])


def test_rows_that_teach_nothing_or_never_to_stop_are_refused() -> None:
    settings = TrainSettings()
    with pytest.raises(InputError, match="no supervised token"):
        check_rows([TokenRow("a", (2,), ())], {EOS}, 99, settings)
    with pytest.raises(InputError, match="does not end its turn"):
        check_rows([TokenRow("a", (2,), (3, 4))], {EOS}, 99, settings)
    replaced = TokenRow("a", (2,), (3, 4), targets=(5, 5))
    assert check_rows([replaced], {EOS}, 99, settings) == [replaced]
    with pytest.raises(InputError, match="prompt has no token"):
        check_rows([TokenRow("a", (), (3, EOS))], {EOS}, 99, settings)
    with pytest.raises(InputError, match="nothing to train on"):
        check_rows([], {EOS}, 99, settings)


def test_overlong_rows_are_never_cut() -> None:
    rows = [row(3, 4, "short"), row(30, 40, "long")]
    with pytest.raises(InputError, match="1 of 2 rows are longer than 20 tokens"):
        check_rows(rows, {EOS}, 20, TrainSettings(on_overlong="error"))
    assert check_rows(rows, {EOS}, 20, TrainSettings()) == rows[:1]
    with pytest.raises(InputError, match="longer than 5"):
        check_rows(rows, {EOS}, 5, TrainSettings())


def test_pairs_with_an_empty_side_are_refused() -> None:
    pair = Pair(
        example_id="p", prompt_ids=(2,), chosen_ids=(3,), rejected_ids=(), kind="safety", why=""
    )
    with pytest.raises(InputError, match="empty side"):
        check_pairs([pair], 99, TrainSettings())
