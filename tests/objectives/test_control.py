"""Controllers: when multipliers rise and fall, and what keeps a barrier's iterates inside."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from exante.objectives.control import (
    barrier_direction,
    barrier_step,
    barrier_weights,
    confidence,
    dual,
    log_dual,
    rectified,
)

multipliers = st.floats(0.01, 10)
costs = st.floats(-5, 5)


@given(multiplier=multipliers, cost=costs, limit=costs, rate=st.floats(0.01, 2))
@pytest.mark.parametrize("rule", [dual, log_dual])
def test_a_multiplier_rises_if_and_only_if_the_cost_is_above_its_limit(
    rule: object, multiplier: float, cost: float, limit: float, rate: float
) -> None:
    assert callable(rule)
    new = rule(multiplier, cost, limit=limit, rate=rate, cap=math.inf)
    if abs(cost - limit) > 1e-6:
        assert (new > multiplier) == (cost > limit)
    assert new >= 0


def test_golden_multipliers() -> None:
    options = {"limit": -0.5, "rate": 0.4, "cap": 3.0}
    assert dual(1.0, 0.75, **options) == pytest.approx(1.5)
    assert dual(0.1, -1.0, **options) == 0.0
    assert dual(2.9, 5.0, **options) == 3.0
    assert log_dual(2.0, 0.25, **options) == pytest.approx(3.0)
    assert log_dual(1.0, -1.0, **options) == pytest.approx(math.exp(-0.2))
    assert log_dual(1.0, 1e6, **{**options, "cap": 9.0}) == pytest.approx(math.e)
    assert rectified(1.0, 0.25, rate=2.0, cap=9.0) == pytest.approx(1.5)
    assert rectified(1.0, 0.0, rate=2.0, cap=9.0, decay=0.25) == pytest.approx(0.75)
    assert rectified(1.0, 99.0, rate=2.0, cap=9.0) == 9.0
    assert confidence(4, doubt=math.exp(-1)) == pytest.approx(0.5)


@given(multiplier=multipliers, excess=st.floats(0, 5), rate=st.floats(0.01, 2))
def test_a_rectified_multiplier_never_falls_without_decay(
    multiplier: float, excess: float, rate: float
) -> None:
    assert rectified(multiplier, excess, rate=rate, cap=100.0) >= multiplier
    assert rectified(multiplier, 0.0, rate=rate, cap=100.0, decay=0.1) < multiplier


def test_what_no_controller_can_use_is_refused() -> None:
    with pytest.raises(ValueError, match="starts above 0"):
        log_dual(0.0, 1.0, limit=0.0, rate=1.0, cap=9.0)
    with pytest.raises(ValueError, match="not negative"):
        rectified(1.0, -0.5, rate=1.0, cap=9.0)


def test_the_barrier_grows_as_the_slack_shrinks_and_then_only_the_constraint_counts() -> None:
    def weights(slack: float) -> list[float]:
        return [w.item() for w in barrier_weights(torch.tensor(slack), eta=0.1, least=0.02)]

    assert weights(0.05) == pytest.approx([1.0, 2.0])
    assert weights(0.5) == pytest.approx([1.0, 0.2])
    assert weights(0.001) == pytest.approx([1.0, 5.0])
    assert weights(0.0) == weights(-3.0) == [0.0, 1.0]


# min (x - 2)^2 / 2 with x <= 1, whose barrier has its minimum at 1 - u with u^2 + u = eta.
def objective_slope(x: Tensor) -> Tensor:
    return x - 2


def slack_of(x: Tensor) -> Tensor:
    return 1 - x


SLOPES = torch.ones(1, 1, dtype=torch.float64)
FLAT = torch.zeros(1, dtype=torch.float64)


def descend(start: float, eta: float, steps: int = 400) -> list[float]:
    x = torch.tensor([start], dtype=torch.float64)
    path = [start]
    for _ in range(steps):
        g = barrier_direction(objective_slope(x), SLOPES, slack_of(x), eta=eta)
        x = x - g * barrier_step(g, SLOPES, slack_of(x), eta=eta, curvature=1.0, curvatures=FLAT)
        path.append(x.item())
    return path


@pytest.mark.parametrize("start", [-3.0, 0.0, 0.9, 0.999])
@pytest.mark.parametrize("eta", [0.2, 0.05, 0.0125])
def test_iterates_stay_feasible_and_the_bias_is_about_eta(start: float, eta: float) -> None:
    path = descend(start, eta)
    assert max(path) < 1.0
    assert path[-1] == pytest.approx(1 - (math.sqrt(1 + 4 * eta) - 1) / 2, abs=2e-3)
    assert 1 - path[-1] == pytest.approx(eta, rel=0.25)


def test_from_outside_the_constraint_alone_leads_back() -> None:
    path = descend(4.0, 0.05)
    outside = [x for x in path if x >= 1]
    assert outside == sorted(outside, reverse=True)
    assert len(outside) < 10
    assert max(path[len(outside) :]) < 1.0


def test_a_violation_is_not_hidden_by_what_was_clipped_before() -> None:
    """A published optimiser clips its slacks in place, so that each looks feasible from then on."""
    slacks = torch.tensor([-0.3, 0.2], dtype=torch.float64)
    seen = slacks.clone()
    slopes = torch.eye(2, dtype=torch.float64)
    gradient = torch.zeros(2, dtype=torch.float64)
    barrier_weights(slacks[0], eta=0.1, least=0.05)
    direction = barrier_direction(gradient, slopes, slacks, eta=0.1)
    barrier_step(direction, slopes, slacks, eta=0.1, curvature=1.0, curvatures=gradient)
    assert torch.equal(slacks, seen)
    assert direction.tolist() == [1.0, 0.0]


def test_the_step_promises_nothing_to_an_optimiser_that_rescales_gradients() -> None:
    """Adam makes a step of its own length of any gradient, however small the step that was safe."""
    x = torch.tensor([0.99], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([x], lr=0.1)
    g = barrier_direction(objective_slope(x), SLOPES, slack_of(x), eta=1e-3).detach()
    step = barrier_step(g, SLOPES, slack_of(x.detach()), eta=1e-3, curvature=1.0, curvatures=FLAT)
    assert slack_of(x.detach() - step * g).item() > 0
    x.grad = step * g
    torch.nn.utils.clip_grad_norm_([x], 1.0)
    adam.step()
    assert slack_of(x.detach()).item() < 0
