"""Arithmetic on weights: exact on small tensors, and patches that never touch each other's best."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exante.errors import InputError
from exante.models.patches import (
    Patch,
    difference,
    drawn,
    importance,
    kept,
    mixed,
    patched,
    top,
)

ONE = {"a": torch.tensor([[1.0, -2.0], [3.0, 0.5]]), "b": torch.tensor([4.0, 0.0, -1.0])}
OTHER = {"a": torch.tensor([[2.0, 0.0], [3.0, 1.5]]), "b": torch.tensor([0.0, 1.0, -1.0])}


def test_a_whole_patch_gives_the_other_model() -> None:
    change = difference(OTHER, ONE)
    everything = {name: torch.ones_like(value, dtype=torch.bool) for name, value in ONE.items()}
    found = patched(ONE, [Patch(change, everything)])
    assert all(torch.equal(found[name], OTHER[name]) for name in ONE)
    assert ONE["b"].tolist() == [4.0, 0.0, -1.0]


def test_patches_add_up_where_their_masks_allow() -> None:
    change = {"b": torch.tensor([1.0, 1.0, 1.0])}
    masks = [{"b": torch.tensor(mask)} for mask in ([True, True, False], [False, True, True])]
    found = patched({"b": torch.zeros(3)}, [Patch(change, masks[0], 2.0), Patch(change, masks[1])])
    assert found["b"].tolist() == [2.0, 3.0, 1.0]


def test_what_matters_is_weight_times_gradient() -> None:
    found = importance(ONE, {"a": torch.tensor([[1.0, -2.0], [0.0, 2.0]])})
    assert found["a"].tolist() == [[1.0, 4.0], [0.0, 1.0]]
    assert found["b"].tolist() == [0.0, 0.0, 0.0]


def test_the_top_of_each_tensor_is_a_share_of_it() -> None:
    found = top({"a": torch.tensor([[0.1, 0.9], [0.8, 0.2]]), "b": torch.tensor([3.0])}, 0.5)
    assert found["a"].tolist() == [[False, True], [True, False]]
    assert found["b"].tolist() == [False]


def test_draws_follow_the_seed_and_the_share() -> None:
    like = {"a": torch.zeros(100, 100)}
    first, again, other = (drawn(like, 0.3, seed)["a"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.float().mean().item() == pytest.approx(0.3, abs=0.02)


@settings(max_examples=40)
@given(
    share=st.floats(0.0, 1.0),
    best=st.floats(0.0, 1.0),
    others=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
)
def test_no_patch_touches_what_matters_most_to_the_other(
    share: float, best: float, others: float, seed: int
) -> None:
    dice = torch.Generator().manual_seed(seed)
    scores = [{"a": torch.rand(7, 9, generator=dice)} for _ in range(2)]
    mine, theirs = top(scores[0], best), top(scores[1], others)
    first = kept(drawn(scores[0], share, 2 * seed), mine, theirs)["a"]
    second = kept(drawn(scores[0], share, 2 * seed + 1), theirs, mine)["a"]
    assert not (first & theirs["a"]).any()
    assert not (second & mine["a"]).any()
    # What matters to one alone stays with it, whatever was drawn.
    assert bool(first[mine["a"] & ~theirs["a"]].all())
    assert bool(second[theirs["a"] & ~mine["a"]].all())


@pytest.mark.parametrize(("share", "expected"), [(0.0, 4.0), (1.0, 0.0), (0.25, 3.0)])
def test_a_mixture_lies_between_its_ends(share: float, expected: float) -> None:
    assert mixed(ONE, OTHER, share)["b"][0].item() == expected


@pytest.mark.parametrize("wrong", [{"a": ONE["a"]}, {**ONE, "b": torch.zeros(4)}])
def test_weights_of_another_form_are_refused(wrong: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InputError, match="differ in form at b"):
        mixed(ONE, wrong, 0.5)
    with pytest.raises(InputError, match="differ in form at b"):
        difference(wrong, ONE)
