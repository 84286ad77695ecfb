"""Losses on parts of a batch: how it is cut and laid out changes neither loss nor gradient."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny import tiny_model
from torch import Tensor

from exante.models.forward import response_logprobs_of
from exante.models.load import load_model
from exante.records import Pair
from exante.training import PairLoss, TokenLoss, TokenRow
from exante.training.data import Parts, collate_pairs, collate_rows, groups_of
from exante.training.losses import at_reference, pair_loss, token_loss

LOSS = PairLoss(beta=0.3, anchor=0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_model(tiny_model(tmp_path_factory.mktemp("losses"), seed=4))


def ids(count: int, dice: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(2, 90, (count,), generator=dice).tolist())


def pairs(shape: list[tuple[int, int, int, int]]) -> list[Pair]:
    """Per prompt: its tokens, those of the chosen and of the first rejected response, and pairs."""
    dice = torch.Generator().manual_seed(len(shape))
    found = []
    for number, (prompt, chosen, rejected, count) in enumerate(shape):
        asked, best = ids(prompt, dice), ids(chosen, dice)
        for other in range(count):
            found.append(
                Pair(
                    example_id=f"{number}/{other}",
                    prompt_ids=asked,
                    chosen_ids=best,
                    rejected_ids=ids(rejected + other, dice),
                    kind="safety" if other % 2 else "efficiency",
                    why="test",
                    margin=0.1 * other,
                    weight=1.0 + other,
                    chosen_reference=-5.0 * chosen,
                    rejected_reference=-6.0 * rejected,
                )
            )
    return found


def loss_and_gradient(model: Any, parts: Parts, shared: bool) -> tuple[float, Tensor]:
    model.zero_grad()
    total = 0.0
    for part in parts:
        logprobs = response_logprobs_of(model, **part["inputs"], shared=shared)
        loss, _ = pair_loss(logprobs, part, LOSS)
        loss.backward()
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in model.parameters()])


@settings(deadline=None, max_examples=15)
@given(
    shape=st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 14), st.integers(1, 14), st.integers(1, 3)),
        min_size=1,
        max_size=5,
    )
)
def test_groups_parts_and_plain_rows_give_one_loss_and_one_gradient(
    model: Any, shape: list[tuple[int, int, int, int]]
) -> None:
    given_pairs = pairs(shape)
    groups = groups_of(given_pairs)
    whole = collate_pairs(groups, pad_id=1, tokens=10_000, shared=True)
    expected, slope = loss_and_gradient(model, whole, shared=True)
    # Each pair a group of its own: a shared response is then run once per pair.
    apart = [group for pair in given_pairs for group in groups_of([pair])]
    for other, tokens, shared in ((groups, 30, True), (apart, 10_000, True), (groups, 99, False)):
        parts = collate_pairs(other, pad_id=1, tokens=tokens, shared=shared)
        loss, gradient = loss_and_gradient(model, parts, shared)
        assert loss == pytest.approx(expected, rel=1e-5)
        assert float((gradient - slope).norm()) <= 1e-5 * float(slope.norm())


def test_numbers_are_split_by_kind() -> None:
    (part,) = collate_pairs(groups_of(pairs([(3, 4, 5, 2)])), pad_id=1, tokens=99, shared=True)
    logprobs = torch.full((4 + 5 + 6,), -2.0)
    loss, numbers = pair_loss(logprobs, part, LOSS)
    assert float(numbers["efficiency/chosen_ratio"]) == pytest.approx((-8 + 20) / 4)
    assert float(numbers["safety/rejected_ratio"]) == pytest.approx((-12 + 30) / 6)
    assert float(numbers["safety/gap"]) == pytest.approx(12 - 18)
    assert float(numbers["safety/rejected_tokens"]) == 6
    gaps = [0.3 * (12 - 20) - 0.0, 0.3 * (12 - 18) - 0.1]
    each = [math.log1p(math.exp(-gap)) + 0.5 * 2.0 for gap in gaps]
    assert float(loss) == pytest.approx((each[0] + 2 * each[1]) / 2, abs=1e-5)


def test_at_the_reference_the_loss_is_its_closed_form() -> None:
    (part,) = collate_pairs(groups_of(pairs([(3, 4, 5, 1)])), pad_id=1, tokens=99, shared=True)
    assert at_reference(part, LOSS) == pytest.approx(math.log(2), abs=1e-6)


def test_tokens_weigh_by_row_and_count_over_the_whole_batch() -> None:
    rows = [TokenRow("a", (5,), (6, 1)), TokenRow("b", (5, 6), (7, 8, 1), weight=0.5)]
    (part,) = collate_rows(rows, pad_id=0, tokens=99, shared=True)
    loss, _ = token_loss(torch.tensor([-4.0, -4.0, -4.0, -1.0, -1.0]), part)  # longest first
    assert loss.item() == pytest.approx((2 + 6) / 5)


def token_rows(dice: torch.Generator, pulled: bool) -> list[TokenRow]:
    """Rows of every sort: replaced targets, weights of either sign, pulls."""
    rows = []
    for number, (prompt, count) in enumerate([(3, 7), (9, 4), (2, 12), (5, 1)]):
        response = ids(count, dice)
        weights = torch.randn(count, generator=dice).tolist()
        rows.append(
            TokenRow(
                str(number),
                ids(prompt, dice),
                response,
                weight=tuple(weights),
                targets=ids(count, dice) if number % 2 else (),
                pull=tuple(torch.rand(count, generator=dice).tolist()) if pulled else 0.0,
                references=tuple((-4 * torch.rand(count, generator=dice)).tolist()),
            )
        )
    return rows


def plain_loop(model: Any, rows: list[TokenRow], ceiling: float) -> Tensor:
    """The same loss as one reads it: a row at a time, a token at a time, whole logits."""
    total, counted = torch.zeros(()), 0
    for row in rows:
        read = torch.tensor([[*row.prompt_ids, *row.response_ids]])
        logprobs = model(input_ids=read).logits[0].log_softmax(-1)
        for place, target in enumerate(row.targets or row.response_ids):
            found = logprobs[len(row.prompt_ids) + place - 1, target]
            weight, pull = row.weights[place], row.pulls[place]
            cost = (-found).clamp(max=ceiling) if weight < 0 else -found
            total = total + weight * cost + pull * (found - row.references[place]) ** 2 / 2
            counted += 1
    return total / counted


@pytest.mark.parametrize("pulled", [True, False])
@pytest.mark.parametrize(("shared", "tokens"), [(True, 10_000), (True, 20), (False, 99)])
def test_token_losses_are_those_of_a_plain_loop(
    model: Any, pulled: bool, shared: bool, tokens: int
) -> None:
    rows = token_rows(torch.Generator().manual_seed(3), pulled)
    loss = TokenLoss(ceiling=6.0)
    model.zero_grad()
    expected = plain_loop(model, rows, loss.ceiling)
    expected.backward()
    slope = torch.cat([p.grad.flatten() for p in model.parameters()])
    model.zero_grad()
    found = 0.0
    for part in collate_rows(rows, pad_id=1, tokens=tokens, shared=shared):
        value, _ = token_loss(
            response_logprobs_of(model, **part["inputs"], shared=shared), part, loss
        )
        value.backward()
        found += value.item()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert found == pytest.approx(expected.item(), abs=1e-5)
    assert float((gradient - slope).norm()) <= 1e-5 * float(slope.norm())


def test_learning_a_replaced_token_is_cross_entropy_on_it(model: Any) -> None:
    """RTO of DeRTa: behind each token of the response, the refusal's token."""
    row = TokenRow("a", (5, 6), (7, 8, 9), targets=(4, 4, 4))
    (part,) = collate_rows([row], pad_id=1, tokens=99, shared=True)
    found, _ = token_loss(response_logprobs_of(model, **part["inputs"]), part)
    each = []
    for end in range(3):
        before = TokenRow("a", (5, 6, 7, 8, 9)[: 2 + end], (4,))
        (alone,) = collate_rows([before], pad_id=1, tokens=99, shared=True)
        each.append(token_loss(response_logprobs_of(model, **alone["inputs"]), alone)[0].item())
    assert found.item() == pytest.approx(sum(each) / 3, abs=1e-6)


def test_what_is_pulled_is_logged_apart() -> None:
    row = TokenRow("a", (5,), (6, 7, 1), (1.0, 0.0, 0.0), (), (0.0, 0.5, 0.5), (-1.0, -1.0, -2.0))
    (part,) = collate_rows([row], pad_id=0, tokens=99, shared=True)
    loss, numbers = token_loss(torch.tensor([-3.0, -2.0, -4.0]), part)
    assert loss.item() == pytest.approx((3 + 0.25 * 1 + 0.25 * 4) / 3)
    assert numbers["cross_entropy"].item() == pytest.approx(1.0)
    assert numbers["log_ratio"].item() == pytest.approx(-1.5)
