"""The barrier on safety pairs: its weight, its recovery, and how it cuts a batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from exante.training import PairLoss
from exante.training.barrier import Barrier, barred

BARRIER = Barrier(limit=0.6, eta=0.1, least=0.05, doubt=1 / math.e)
BETA = 0.5


def nats(gap: float) -> float:
    return math.log1p(math.exp(-BETA * gap))


def run(gaps: list[float], kinds: list[str], whole: int | None = None) -> tuple[Tensor, Any]:
    held = torch.tensor(gaps, dtype=torch.float64, requires_grad=True)
    part = {"kinds": kinds, "whole": whole or len(kinds)}
    loss, numbers = barred(2.0 * held, held, part, beta=BETA, barrier=BARRIER)
    (slopes,) = torch.autograd.grad(loss, held)
    return slopes, {"loss": loss.item(), **{name: value.item() for name, value in numbers.items()}}


def test_inside_both_count_and_the_constraint_by_its_slack() -> None:
    slopes, numbers = run([3.0, 3.0, 5.0], ["safety", "safety", "usefulness"])
    slack = 0.6 - nats(3.0)
    assert numbers["slack"] == pytest.approx(slack)
    assert numbers["recovering"] == 0.0
    assert numbers["loss"] == pytest.approx(2.0 * 5.0 + 0.1 / slack * nats(3.0))
    pull = -BETA / (1 + math.exp(BETA * 3.0)) / 2
    assert slopes.tolist() == pytest.approx([0.1 / slack * pull] * 2 + [2.0])


def test_the_radius_is_kept_free() -> None:
    _, numbers = run([1.0, 3.0, 5.0], ["safety", "safety", "usefulness"])
    spread = abs(nats(1.0) - nats(3.0)) / 2
    expected = 0.6 - (nats(1.0) + nats(3.0)) / 2 - spread / math.sqrt(2)
    assert numbers["slack"] == pytest.approx(expected)


def test_outside_only_the_constraint_is_optimised() -> None:
    slopes, numbers = run([-1.0, -1.0, 5.0], ["safety", "safety", "usefulness"])
    assert numbers["recovering"] == 1.0
    assert numbers["loss"] == pytest.approx(nats(-1.0))
    assert slopes[2].item() == 0.0
    assert (slopes[:2] < 0).all()


def test_without_safety_pairs_there_is_no_constraint_and_without_others_no_objective() -> None:
    slopes, numbers = run([1.0, 3.0], ["usefulness", "efficiency"])
    assert numbers == {"loss": pytest.approx(4.0)}
    assert slopes.tolist() == [1.0, 1.0]
    _, numbers = run([3.0], ["safety"])
    assert numbers["loss"] == pytest.approx(0.1 / (0.6 - nats(3.0)) * nats(3.0))


def test_a_part_has_its_share_of_the_batch() -> None:
    _, whole = run([3.0, 5.0], ["safety", "usefulness"])
    _, half = run([3.0, 5.0], ["safety", "usefulness"], whole=4)
    assert half["loss"] == pytest.approx(whole["loss"] / 2)


def test_a_barrier_is_a_setting_of_the_loss() -> None:
    assert PairLoss.model_validate({"barrier": {"limit": 0.3}}).barrier == Barrier(limit=0.3)
    with pytest.raises(ValidationError):
        Barrier(eta=0.0)
