"""A batch dealt to several processes is the batch: losses and gradients add up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny import tiny_model
from tests.training.test_fit import pairs, rows

from exante.models.forward import response_logprobs_of
from exante.models.load import load_chat, load_model
from exante.models.ranks import Ranks
from exante.training import PairLoss
from exante.training.data import LengthWindows, TokenRow, collate_pairs, collate_rows, groups_of
from exante.training.dealing import IDLE, Repeated, collate_share, shares
from exante.training.losses import pair_loss, token_loss
from exante.training.reference import unreferenced


def row(length: int) -> TokenRow:
    return TokenRow(f"{length}", (5, 6), (7,) * length)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(2, 5))
def test_every_item_goes_to_one_process(lengths: list[int], count: int) -> None:
    items = [row(length) for length in lengths]
    dealt = shares(items, count)
    assert len(dealt) == count
    assert sorted(r.length for share in dealt for r in share) == sorted(r.length for r in items)
    tokens = [sum(r.group.tokens for r in share) for share in dealt]
    assert max(tokens) - min(tokens) <= max(r.group.tokens for r in items)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9), st.integers(2, 4), st.integers(8, 90))
def test_all_processes_have_as_many_parts(lengths: list[int], count: int, tokens: int) -> None:
    items = [row(length) for length in lengths]
    collate = partial(collate_rows, pad_id=0, tokens=tokens, shared=True)
    dealt = [collate_share(items, Ranks(n, count), tokens, collate) for n in range(count)]
    assert len({len(parts) for parts in dealt}) == 1
    assert all(parts for parts in dealt)
    busy = [part for parts in dealt for part in parts if IDLE not in part]
    named = sorted(name for part in busy for name in part["example_ids"])
    assert named == sorted(r.example_id for r in items)
    assert {part["whole"] for part in busy} == {sum(lengths)}


def test_one_process_has_the_batch_as_it_was() -> None:
    items = [row(3), row(9), row(5)]
    assert shares(items, 1) == [items]
    collate = partial(collate_rows, pad_id=0, tokens=20, shared=True)
    dealt, plain = collate_share(items, Ranks(), 20, collate), collate(items)
    assert [part["example_ids"] for part in dealt] == [part["example_ids"] for part in plain]


def test_accelerate_deals_every_process_every_batch() -> None:
    batches = LengthWindows([3, 1, 4, 1, 5], 2, seed=1)
    repeated = Repeated(batches, 3)
    found = list(repeated)
    assert len(found) == len(repeated) == 9
    assert found[0::3] == found[1::3] == found[2::3] == list(batches)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("dealing"), seed=7)


@pytest.mark.parametrize("kind", ["rows", "pairs"])
def test_losses_of_shares_add_up_to_that_of_the_batch(policy: Path, kind: str) -> None:
    chat, model = load_chat(policy), load_model(policy)
    collate_any: Any
    loss: Any
    items: Sequence[Any]
    if kind == "rows":
        items, collate_any, loss = rows(chat, 5), collate_rows, token_loss
    else:
        items = groups_of(unreferenced(pairs(chat, 5)))
        collate_any, loss = collate_pairs, partial(pair_loss, settings=PairLoss())
    collate = partial(collate_any, pad_id=chat.pad_id, tokens=64, shared=True)

    def total(parts: list[dict[str, Any]]) -> torch.Tensor:
        losses = [
            loss(response_logprobs_of(model, **part["inputs"]), part)[0]
            for part in parts
            if IDLE not in part
        ]
        return torch.stack(losses).sum() if losses else torch.zeros(())

    whole = total(collate(items))
    dealt = [total(collate_share(items, Ranks(n, 3), 64, collate)) for n in range(3)]
    torch.testing.assert_close(torch.stack(dealt).sum(), whole)
    assert min(float(share.detach()) for share in dealt) < float(whole.detach()) / 2
