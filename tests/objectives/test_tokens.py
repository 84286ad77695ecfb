"""Token losses: golden values, what they reduce to, gradients, and where they must be zero."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from exante.objectives.tokens import cross_entropy, distance, log_ratio, shaped

NATS = st.floats(-20.0, 0.0)
CHANCES = st.floats(0.0, 1.0)


def some(*values: float, gradient: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=gradient)


def test_golden_values() -> None:
    """By hand: 0.25 * 2 + 0.375 * (1/2) * (-2 + 3)^2, and the same for -1 and -1.5."""
    found = shaped(
        some(-2.0, -1.0), some(-3.0, -1.5), weights=some(0.25, 1.0), pulls=some(0.375, 0.5)
    )
    assert found.tolist() == pytest.approx([0.5 + 0.1875, 1.0 + 0.0625])


@settings(max_examples=25)
@given(logprob=NATS, reference=NATS, strength=st.floats(0.0, 2.0))
def test_a_safe_token_is_plain_cross_entropy(
    logprob: float, reference: float, strength: float
) -> None:
    """STAR-DSS with V = 1."""
    value = some(1.0)
    found = shaped(some(logprob), some(reference), weights=value, pulls=strength * (1 - value))
    assert found.item() == cross_entropy(some(logprob), some(1.0)).item() == -logprob


@settings(max_examples=25)
@given(logprob=NATS, strength=st.floats(0.1, 2.0))
def test_an_unsafe_token_at_the_reference_is_left_alone(logprob: float, strength: float) -> None:
    """STAR-DSS with V = 0 and policy = reference: neither loss nor gradient."""
    policy = some(logprob, gradient=True)
    found = shaped(policy, some(logprob), weights=some(0.0), pulls=some(strength)).sum()
    (slope,) = torch.autograd.grad(found, policy)
    assert found.item() == 0
    assert slope.item() == 0


def test_the_signed_log_ratio_would_be_no_loss() -> None:
    """The estimator k1 pushes tokens down at the reference and beyond; k2 comes back to it."""
    at, below = some(-3.0, gradient=True), some(-5.0, gradient=True)
    for policy in (at, below):
        (slope,) = torch.autograd.grad(log_ratio(policy, some(-3.0)).sum(), policy)
        assert slope.item() == 1
    (slope,) = torch.autograd.grad(distance(at, some(-3.0)).sum(), at)
    assert slope.item() == 0
    (slope,) = torch.autograd.grad(distance(below, some(-3.0)).sum(), below)
    assert slope.item() == -2


@settings(max_examples=25)
@given(logprob=NATS)
def test_unlearning_is_learning_with_the_other_sign(logprob: float) -> None:
    """Gradient ascent is gradient descent on the negative loss."""
    policy = some(logprob, gradient=True)
    up = cross_entropy(policy, some(-1.0))
    down = cross_entropy(policy, some(1.0))
    assert up.item() == -down.item()
    slopes = [torch.autograd.grad(loss.sum(), policy)[0].item() for loss in (up, down)]
    assert slopes[0] == -slopes[1] == 1


@pytest.mark.parametrize(("weight", "slope"), [(-2.0, 0.0), (2.0, -2.0)])
def test_a_ceiling_stops_unlearning_and_nothing_else(weight: float, slope: float) -> None:
    policy = some(-7.0, gradient=True)
    found = cross_entropy(policy, some(weight), ceiling=5.0).sum()
    (gradient,) = torch.autograd.grad(found, policy)
    assert gradient.item() == slope
    assert found.item() == (-10.0 if weight < 0 else 14.0)


@pytest.mark.parametrize("logprob", [-200.0, -1e-9])
def test_extremes_stay_finite(logprob: float) -> None:
    policy = some(logprob, gradient=True)
    found = shaped(policy, some(-100.0), weights=some(-1.0), pulls=some(0.5), ceiling=10.0).sum()
    (slope,) = torch.autograd.grad(found, policy)
    assert math.isfinite(found.item())
    assert math.isfinite(slope.item())


@pytest.mark.parametrize("weight", [-0.7, 0.0, 0.4])
def test_gradients_agree_with_finite_differences(weight: float) -> None:
    def loss(logprobs: Tensor) -> Tensor:
        return shaped(
            logprobs,
            some(-2.5, -0.5),
            weights=some(weight, 1.0),
            pulls=some(0.3, 0.0),
            ceiling=5.0,
        ).sum()

    assert torch.autograd.gradcheck(loss, [some(-2.0, -3.5, gradient=True)])
