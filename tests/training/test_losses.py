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
from exante.preferences import from_parting
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
                    chosen_front=-5.0 * min(chosen, rejected + other),
                    rejected_front=-6.0 * min(chosen, rejected + other),
                )
            )
    return found


def loss_and_gradient(
    model: Any, parts: Parts, shared: bool, settings: PairLoss
) -> tuple[float, Tensor]:
    model.zero_grad()
    total = 0.0
    for part in parts:
        logprobs = response_logprobs_of(model, **part["inputs"], shared=shared)
        loss, _ = pair_loss(logprobs, part, settings)
        loss.backward()
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in model.parameters()])


@settings(deadline=None, max_examples=15)
@given(
    shape=st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 14), st.integers(1, 14), st.integers(1, 3)),
        min_size=1,
        max_size=5,
    ),
    loss=st.sampled_from([LOSS, LOSS.model_copy(update={"tail": 0.4, "focus": 1.5})]),
)
def test_groups_parts_and_plain_rows_give_one_loss_and_one_gradient(
    model: Any, shape: list[tuple[int, int, int, int]], loss: PairLoss
) -> None:
    given_pairs = pairs(shape)
    groups = groups_of(given_pairs)
    whole = collate_pairs(groups, pad_id=1, tokens=10_000, shared=True)
    expected, slope = loss_and_gradient(model, whole, shared=True, settings=loss)
    # Each pair a group of its own: a shared response is then run once per pair.
    apart = [group for pair in given_pairs for group in groups_of([pair])]
    for other, tokens, shared in ((groups, 30, True), (apart, 10_000, True), (groups, 99, False)):
        parts = collate_pairs(other, pad_id=1, tokens=tokens, shared=shared)
        found, gradient = loss_and_gradient(model, parts, shared, loss)
        assert found == pytest.approx(expected, rel=1e-5)
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


def one_part(**fronts: Any) -> dict[str, Any]:
    """A pair of 4 chosen and 2 rejected tokens, and the tokens' log-probs."""
    pair = Pair(
        example_id="a",
        prompt_ids=(5, 6),
        chosen_ids=(7, 8, 9, 1),
        rejected_ids=(8, 1),
        kind="safety",
        why="test",
        margin=0.2,
        chosen_reference=-9.0,
        rejected_reference=-4.0,
        **fronts,
    )
    (part,) = collate_pairs(groups_of([pair]), pad_id=0, tokens=99, shared=True)
    return part


LOGPROBS = torch.tensor([-1.0, -2.0, -3.0, -4.0, -0.5, -1.5])


@pytest.mark.parametrize(
    ("settings", "z"),
    [
        # Sums -10 over -9 and -2 over -4; fronts -3 over -5 and -2 over -4.
        (PairLoss(beta=0.5), 0.5 * (-1 - 2) - 0.2),
        (PairLoss(beta=0.5, margin=0.3), 0.5 * (-1 - 2) - 0.5),
        (PairLoss(beta=0.5, per_token=True), 0.5 * (-1 / 4 - 2 / 2) - 0.2),
        (PairLoss(beta=0.5, reference_free=True), 0.5 * (-10 + 2) - 0.2),
        (PairLoss(beta=2, per_token=True, reference_free=True), 2 * (-10 / 4 + 2 / 2) - 0.2),
        (PairLoss(beta=0.5, tail=0.25), 0.5 * (2 + 0.25 * (-7 + 4) - 2) - 0.2),
        (PairLoss(beta=0.5, tail=0.0), 0.5 * (2 - 2) - 0.2),
    ],
)
def test_each_option_changes_what_is_compared(settings: PairLoss, z: float) -> None:
    part = one_part(chosen_front=-5.0, rejected_front=-4.0)
    for exponent in (0.0, 2.0):
        loss = settings.model_copy(update={"anchor": 0.0, "focus": exponent})
        weight = (1 / (1 + math.exp(z))) ** exponent
        expected = weight * math.log1p(math.exp(-z))
        assert float(pair_loss(LOGPROBS, part, loss)[0]) == pytest.approx(expected, rel=1e-5)


def test_no_option_touches_the_anchor_or_the_gap_that_is_logged() -> None:
    settings = PairLoss(anchor=1.0, tail=0.5, per_token=True, margin=1.0)
    part = one_part(chosen_front=-5.0, rejected_front=-4.0)
    anchored, numbers = pair_loss(LOGPROBS, part, settings)
    bare, _ = pair_loss(LOGPROBS, part, settings.model_copy(update={"anchor": 0.0}))
    assert float(anchored - bare) == pytest.approx(10 / 4)
    assert float(numbers["safety/gap"]) == pytest.approx(-3.0)


def test_fronts_that_nobody_scored_cannot_be_taken_for_numbers() -> None:
    part = one_part()
    assert math.isfinite(pair_loss(LOGPROBS, part, PairLoss())[0])
    assert math.isnan(pair_loss(LOGPROBS, part, PairLoss(tail=0.5))[0])


def test_without_a_reference_no_ratio_is_logged_and_there_is_no_closed_form() -> None:
    settings, part = PairLoss(reference_free=True), one_part()
    numbers = pair_loss(LOGPROBS, part, settings)[1]
    assert not any("ratio" in name for name in numbers)
    with pytest.raises(ValueError, match="no closed form"):
        at_reference(part, settings)


@pytest.mark.parametrize(
    "settings",
    [
        PairLoss(name="square", beta=0.05),
        PairLoss(name="ipo", margin=0.3, focus=1.0),
        PairLoss(tail=0.3, focus=2.0),
        PairLoss(per_token=True, margin=0.7),
    ],
)
def test_a_policy_that_is_its_reference_has_the_closed_form(settings: PairLoss) -> None:
    part = one_part(chosen_front=-3.0, rejected_front=-2.0)
    part["references"] = torch.tensor([-10.0, -2.0])
    found = float(pair_loss(LOGPROBS, part, settings)[1]["preference"])
    assert found == pytest.approx(at_reference(part, settings), rel=1e-6)


def test_a_shared_beginning_cancels_so_step_pairs_train_as_whole_turns_do(model: Any) -> None:
    """ERPO at the level of steps: the same gap and gradient; only the anchor sees less."""
    dice = torch.Generator().manual_seed(3)
    shared, good, bad = ids(6, dice), ids(5, dice), ids(7, dice)
    whole = Pair(
        example_id="a",
        prompt_ids=ids(4, dice),
        chosen_ids=(*shared, *good),
        rejected_ids=(*shared, *bad),
        kind="safety",
        why="test",
    )
    step = from_parting(whole, lambda _: [3, 6])
    assert step.chosen_ids == good
    found = []
    for pair, before in ((whole, -11.0), (step, 0.0)):
        scored = pair.model_copy(
            update={"chosen_reference": before - 20.0, "rejected_reference": before - 30.0}
        )
        parts = collate_pairs(groups_of([scored]), pad_id=1, tokens=999, shared=True)
        bare = LOSS.model_copy(update={"anchor": 0.0})
        found.append(loss_and_gradient(model, parts, shared=True, settings=bare))
    (loss, slope), (step_loss, step_slope) = found
    assert step_loss == pytest.approx(loss, rel=1e-5)
    assert float((slope - step_slope).norm()) <= 1e-5 * float(slope.norm())


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
