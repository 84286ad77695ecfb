"""Pair losses: closed forms, golden values worked out by hand, gradients, extremes, shapes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from exante.objectives.pairs import (
    ScoredPairs,
    anchor,
    dpo,
    focus,
    hinge,
    ipo,
    per_token,
    square,
    tail_discounted,
    without_reference,
)

Loss = Callable[..., Tensor]


def pairs(
    chosen: float, rejected: float, *, ref: tuple[float, float] = (0.0, 0.0), margin: float = 0.0
) -> ScoredPairs:
    numbers = (chosen, rejected, *ref, margin)
    a, b, c, d, e = (torch.tensor([n], dtype=torch.float64) for n in numbers)
    return ScoredPairs(chosen=a, rejected=b, ref_chosen=c, ref_rejected=d, margin=e)


@pytest.mark.parametrize(
    ("loss", "value"), [(dpo, math.log(2)), (hinge, 1.0), (ipo, 25.0), (square, 0.0)]
)
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
        (square, 0.1, 0.5, 0.0),
        (square, 0.25, 0.0, 25.0),
        (square, 0.25, -1.0, 81.0),
    ],
)
def test_golden_values(loss: Loss, beta: float, margin: float, value: float) -> None:
    found = loss(pairs(-2.0, -9.0, ref=(-4.0, -6.0), margin=margin), beta=beta)
    assert found.item() == pytest.approx(value)


def test_a_length_margin_is_r_dpo() -> None:
    """R-DPO (eq. 9) adds alpha * (n_w - n_l) to beta * gap: a longer winner is pulled up less."""
    alpha, longer, shorter, gap, beta = 0.05, 40, 25, 6.0, 0.1
    ours = dpo(pairs(gap, 0.0, margin=-alpha * (longer - shorter)), beta=beta)
    assert ours.item() == pytest.approx(math.log1p(math.exp(-(0.6 + 0.75))))
    pulled = torch.zeros(1, requires_grad=True)
    given = ScoredPairs(
        chosen=pulled,
        rejected=torch.zeros(1),
        ref_chosen=torch.zeros(1),
        ref_rejected=torch.zeros(1),
        margin=torch.tensor([-alpha * (longer - shorter)]),
    )
    dpo(given, beta=beta).sum().backward()
    assert pulled.grad is not None
    assert 0 > pulled.grad.item() > -beta / 2


def test_safedpo_asks_for_delta_where_only_the_loser_is_unsafe() -> None:
    """By hand (eq. 12): beta * h = 0.5, so -log sigmoid(0.5 - 10) over an unsafe loser."""
    over_unsafe = dpo(pairs(5.0, 0.0, margin=10.0 * (1 - 0)), beta=0.1)
    assert over_unsafe.item() == pytest.approx(9.5 + math.log1p(math.exp(-9.5)))
    over_safe = pairs(5.0, 0.0, margin=10.0 * (0 - 0))
    assert torch.equal(dpo(over_safe, beta=0.1), dpo(pairs(5.0, 0.0), beta=0.1))


def test_modpo_is_dpo_with_a_scaled_beta_and_a_margin() -> None:
    """-log sigmoid((beta * h - w_m * (m_w - m_l)) / w) with w = 0.4, w_m = 0.6."""
    beta, w, gap, more = 0.1, 0.4, 7.0, 1.5
    ours = dpo(pairs(gap, 0.0, margin=(1 - w) / w * more), beta=beta / w)
    z = (beta * gap - (1 - w) * more) / w
    assert ours.item() == pytest.approx(math.log1p(math.exp(-z)))


@pytest.mark.parametrize("target", [1.0, 0.5, -0.5, -1.0])
def test_bfpo_is_the_square_link_and_ipo_the_case_of_one_half(target: float) -> None:
    beta = 0.05
    found = square(pairs(3.0, 0.0, margin=target), beta=beta).item()
    assert found == pytest.approx((3.0 - target / beta) ** 2)
    assert found == pytest.approx(ipo(pairs(3.0, 0.0, margin=target - 0.5), beta=beta).item())


def test_simpo_is_dpo_on_means_without_a_reference() -> None:
    """By hand: beta * (-6 / 3 + 20 / 4) - gamma = 2 * 3 - 1.6, whatever the reference says."""
    given = pairs(-6.0, -20.0, ref=(-1.0, -99.0), margin=1.6)
    seen = per_token(without_reference(given), torch.tensor([3]), torch.tensor([4]))
    assert dpo(seen, beta=2.0).item() == pytest.approx(math.log1p(math.exp(-4.4)))


def test_means_divide_policy_and_reference_by_the_same_length() -> None:
    """By hand: (-6 + 9) / 3 - (-20 + 12) / 4 = 3; without tokens nothing is divided by zero."""
    seen = per_token(pairs(-6.0, -20.0, ref=(-9.0, -12.0)), torch.tensor([3]), torch.tensor([4]))
    assert seen.gap.item() == pytest.approx(3.0)
    none = per_token(pairs(0.0, -20.0), torch.tensor([0]), torch.tensor([4]))
    assert none.gap.item() == pytest.approx(5.0)


def test_ld_dpo_counts_the_front_whole_and_the_tail_in_part() -> None:
    """By hand: chosen -4 + 0.25 * -8 over -5 + 0.25 * -3, rejected has no tail: -6 over -7."""
    whole, front = pairs(-12.0, -6.0, ref=(-8.0, -7.0)), pairs(-4.0, -6.0, ref=(-5.0, -7.0))
    assert tail_discounted(whole, front, alpha=0.25).gap.item() == pytest.approx(-0.25 - 1.0)
    assert tail_discounted(whole, front, alpha=1.0).gap.item() == whole.gap.item()
    assert tail_discounted(whole, front, alpha=0.0).gap.item() == front.gap.item()


def test_ld_dpo_at_the_reference_is_ln_2_whatever_alpha() -> None:
    whole, front = pairs(-12.0, -6.0, ref=(-12.0, -6.0)), pairs(-4.0, -6.0, ref=(-4.0, -6.0))
    for alpha in (0.0, 0.3, 1.0):
        found = dpo(tail_discounted(whole, front, alpha=alpha), beta=0.1).item()
        assert found == pytest.approx(math.log(2))


def test_focus_weighs_by_what_is_left_to_learn_and_passes_no_gradient() -> None:
    """By hand: z = 0.1 * 5 - 0.2 = 0.3, (1 - sigmoid(0.3)) ** 2."""
    given = pairs(5.0, 0.0, margin=0.2)
    learned = math.exp(0.3) / (1 + math.exp(0.3))
    assert focus(given, beta=0.1, gamma=2.0).item() == pytest.approx((1 - learned) ** 2)
    assert focus(given, beta=0.1, gamma=0.0).item() == 1.0
    assert focus(pairs(2e4, 0.0), beta=1.0, gamma=0.0).item() == 1.0
    chosen = torch.tensor([5.0], requires_grad=True)
    zero = torch.zeros(1)
    moved = ScoredPairs(
        chosen=chosen, rejected=zero, ref_chosen=zero, ref_rejected=zero, margin=zero
    )
    assert not focus(moved, beta=0.1, gamma=2.0).requires_grad


@pytest.mark.parametrize("loss", [dpo, ipo, hinge, square])
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


@pytest.mark.parametrize("loss", [dpo, ipo, hinge, square])
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


@pytest.mark.parametrize("gamma", [0.0, 1.5])
def test_of_drawn_preferences_the_best_gap_is_the_rewards_plus_the_margin(gamma: float) -> None:
    """Both orders come, p and 1 - p: the loss is least at (log-odds of p) / (1 + gamma) + m."""
    p, margin, beta = 0.8, 1.7, 0.2
    best = (math.log(p / (1 - p)) / (1 + gamma) + margin) / beta
    gap = torch.tensor([best], dtype=torch.float64, requires_grad=True)
    fixed = pairs(0.0, 0.0)
    total = torch.zeros(1, dtype=torch.float64)
    for share, sign in ((p, 1.0), (1 - p, -1.0)):
        seen = ScoredPairs(
            chosen=sign * gap,
            rejected=fixed.rejected,
            ref_chosen=fixed.ref_chosen,
            ref_rejected=fixed.ref_rejected,
            margin=fixed.margin + sign * margin,
        )
        total = total + share * dpo(seen, beta=beta) * focus(seen, beta=beta, gamma=gamma)
    total.sum().backward()
    assert gap.grad is not None
    assert gap.grad.item() == pytest.approx(0.0, abs=1e-12)
