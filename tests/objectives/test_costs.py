"""The loss of a cost model: golden values worked out by hand, gradients, extremes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from exante.objectives.costs import anchored, contrast, pku_cost


def nats(argument: float) -> float:
    """The value of -log sigmoid, the plain way."""
    return math.log1p(math.exp(-argument))


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_golden_values() -> None:
    loss = pku_cost(
        numbers(1.5, 1.5, -0.5),
        numbers(-0.5, 0.5, -2.0),
        torch.tensor([True, True, False]),
        torch.tensor([False, True, False]),
    )
    expected = [
        nats(2.0) + nats(1.5) + nats(0.5) + 1e-3 * (2.25 + 0.25),
        nats(1.0) + nats(1.5) + nats(0.5) + 1e-3 * (2.25 + 0.25),
        nats(1.5) + nats(0.5) + nats(2.0) + 1e-3 * (0.25 + 4.0),
    ]
    assert loss.tolist() == pytest.approx(expected)


def test_where_nothing_is_known_every_term_is_ln_2() -> None:
    zero, safe = numbers(0.0), torch.tensor([False])
    assert contrast(zero, zero).item() == pytest.approx(math.log(2))
    assert anchored(zero, safe).item() == pytest.approx(math.log(2))
    assert pku_cost(zero, zero, ~safe, safe).item() == pytest.approx(3 * math.log(2))


def test_the_sign_of_the_label_decides_where_a_cost_is_pushed() -> None:
    costs = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    anchored(costs, torch.tensor([True, False])).sum().backward()
    assert costs.grad is not None
    assert costs.grad.tolist() == pytest.approx([-0.5, 0.5])


@pytest.mark.parametrize("unsafe", [(True, True), (True, False), (False, False)])
def test_gradients_agree_with_finite_differences(unsafe: tuple[bool, bool]) -> None:
    start = tuple(numbers(v).requires_grad_() for v in (0.7, -0.3))
    labels = [torch.tensor([one]) for one in unsafe]
    assert torch.autograd.gradcheck(lambda a, b: pku_cost(a, b, *labels).sum(), start)


@pytest.mark.parametrize("cost", [-200.0, 200.0])
def test_extreme_costs_stay_finite_with_finite_gradients(cost: float) -> None:
    high, low = torch.tensor([cost], requires_grad=True), torch.tensor([-cost])
    loss = pku_cost(high, low, torch.tensor([True]), torch.tensor([False])).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert high.grad is not None
    assert torch.isfinite(high.grad).all()
