"""Pair losses: closed forms, golden values worked out by hand, gradients, extremes, shapes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from exante.objectives.pairs import ScoredPairs, anchor, dpo, hinge, ipo

Loss = Callable[..., Tensor]


def pairs(
    chosen: float, rejected: float, *, ref: tuple[float, float] = (0.0, 0.0), margin: float = 0.0
) -> ScoredPairs:
    numbers = (chosen, rejected, *ref, margin)
    a, b, c, d, e = (torch.tensor([n], dtype=torch.float64) for n in numbers)
    return ScoredPairs(chosen=a, rejected=b, ref_chosen=c, ref_rejected=d, margin=e)


@pytest.mark.parametrize(("loss", "value"), [(dpo, math.log(2)), (hinge, 1.0), (ipo, 25.0)])
def test_at_the_reference_every_loss_has_its_closed_form(loss: Loss, value: float) -> None:
    same = pairs(-3.0, -7.0, ref=(-3.0, -7.0))
    assert loss(same, beta=0.1).item() == pytest.approx(value)


@pytest.mark.parametrize(
    ("loss", "beta", "margin", "value"),
    [
        # gap = (-2 + 4) - (-9 + 6) = 5
        (dpo, 0.1, 0.0, math.log1p(math.exp(-0.5))),
        (dpo, 0.1, 0.3, math.log1p(math.exp(-0.2))),
        (dpo, 0.5, -1.0, math.log1p(math.exp(-3.5))),
        (hinge, 0.1, 0.0, 0.5),
        (hinge, 0.1, 0.3, 0.8),
        (hinge, 1.0, 0.0, 0.0),
        (ipo, 0.1, 0.0, 0.0),
        (ipo, 0.25, 0.0, 9.0),
        (ipo, 0.25, 0.5, 1.0),
    ],
)
def test_golden_values(loss: Loss, beta: float, margin: float, value: float) -> None:
    found = loss(pairs(-2.0, -9.0, ref=(-4.0, -6.0), margin=margin), beta=beta)
    assert found.item() == pytest.approx(value)


def test_a_length_margin_is_r_dpo() -> None:
    """R-DPO adds alpha * (n_w - n_l) inside the sigmoid's argument with a minus sign."""
    alpha, longer, shorter, gap, beta = 0.05, 40, 25, 6.0, 0.1
    ours = dpo(pairs(gap, 0.0, margin=alpha * (longer - shorter)), beta=beta)
    assert ours.item() == pytest.approx(
        -math.log(1 / (1 + math.exp(-(beta * gap - alpha * longer + alpha * shorter))))
    )


@pytest.mark.parametrize("loss", [dpo, ipo, hinge])
@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.7])
def test_gradients_agree_with_finite_differences(loss: Loss, margin: float) -> None:
    start = [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (-2.0, -3.5)]
    fixed = pairs(0.0, 0.0, ref=(-2.5, -3.0), margin=margin)

    def value(chosen: Tensor, rejected: Tensor) -> Tensor:
        given = ScoredPairs(
            chosen=chosen,
            rejected=rejected,
            ref_chosen=fixed.ref_chosen,
            ref_rejected=fixed.ref_rejected,
            margin=fixed.margin,
        )
        return loss(given, beta=0.3).sum()

    assert torch.autograd.gradcheck(value, start)


@pytest.mark.parametrize("loss", [dpo, ipo, hinge])
@pytest.mark.parametrize("gap", [-200.0, 200.0])
def test_extreme_gaps_stay_finite_with_finite_gradients(loss: Loss, gap: float) -> None:
    chosen = torch.tensor([gap], requires_grad=True)
    zero = torch.zeros(1)
    given = ScoredPairs(
        chosen=chosen, rejected=zero, ref_chosen=zero, ref_rejected=zero, margin=zero
    )
    result = loss(given, beta=1.0).sum()
    result.backward()
    assert torch.isfinite(result)
    assert chosen.grad is not None
    assert torch.isfinite(chosen.grad).all()
    if loss is dpo:  # far on the wrong side the pull is full, far on the right side it is gone
        assert chosen.grad.item() == pytest.approx(-1.0 if gap < 0 else 0.0, abs=1e-6)


def test_swapping_the_sides_reverses_the_gradient_of_dpo_at_the_reference() -> None:
    chosen = torch.zeros(1, requires_grad=True)
    rejected = torch.zeros(1, requires_grad=True)
    zero = torch.zeros(1)
    given = ScoredPairs(
        chosen=chosen, rejected=rejected, ref_chosen=zero, ref_rejected=zero, margin=zero
    )
    dpo(given, beta=0.4).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.item() == pytest.approx(-0.2)
    assert rejected.grad.item() == pytest.approx(0.2)


def test_shapes_that_would_broadcast_are_refused() -> None:
    one, two = torch.zeros(1), torch.zeros(2)
    with pytest.raises((ValueError, TypeCheckError), match="one entry per pair|margin"):
        ScoredPairs(chosen=two, rejected=two, ref_chosen=two, ref_rejected=two, margin=one)


def test_the_anchor_is_the_mean_negative_log_prob() -> None:
    found = anchor(torch.tensor([-6.0, 0.0]), torch.tensor([3, 0]))
    assert found.tolist() == [2.0, 0.0]
