"""Fitting the head of a cost model on features whose costs are known."""

from __future__ import annotations

import pytest
import torch

from exante.models.cost import Head
from exante.training.cost import fit_head, ranks_right

DICE = torch.Generator().manual_seed(3)
FEATURES = torch.randn(120, 6, generator=DICE) * 5 + 3
TRUE = torch.tensor([1.0, -2.0, 0.0, 0.5, 0.0, 0.0])
COSTS = ((FEATURES - 3) @ TRUE).tolist()
PROMPTS = [place // 4 for place in range(120)]


def test_a_head_learns_signs_and_order() -> None:
    head = fit_head(FEATURES[:80], COSTS[:80], PROMPTS[:80], decay=1e-4)
    found = head.costs(FEATURES[80:])
    right, pairs = ranks_right(found, COSTS[80:], PROMPTS[80:])
    assert pairs == 10 * 6
    assert right >= 57
    signs = sum((a > 0) == (b > 0) for a, b in zip(found, COSTS[80:], strict=True))
    assert signs >= 37


def test_the_sign_is_anchored_also_where_no_pair_differs() -> None:
    head = fit_head(FEATURES, [1.0] * 60 + [-1.0] * 60, list(range(120)), decay=1e-3)
    assert torch.tensor(head.costs(FEATURES[:60])).mean() > 0
    assert torch.tensor(head.costs(FEATURES[60:])).mean() < 0


def test_the_scale_of_a_feature_decides_nothing() -> None:
    stretched = FEATURES * torch.tensor([1e3, 1.0, 1.0, 1e-3, 1.0, 1.0])
    plain, other = (fit_head(x, COSTS, PROMPTS, decay=1e-3) for x in (FEATURES, stretched))
    assert other.costs(stretched) == pytest.approx(plain.costs(FEATURES), abs=1e-2)


def test_a_feature_that_never_changes_is_no_trouble() -> None:
    constant = torch.cat([FEATURES, torch.ones(120, 1)], dim=1)
    found = fit_head(constant, COSTS, PROMPTS, decay=1e-3).costs(constant)
    assert ranks_right(found, COSTS, PROMPTS)[0] > 160


def test_decay_draws_costs_together() -> None:
    weak, strong = (fit_head(FEATURES, COSTS, PROMPTS, decay=d) for d in (1e-3, 1.0))
    assert strong.weight.norm() < 0.5 * weak.weight.norm()


def test_pairs_of_equal_cost_are_no_pairs() -> None:
    head = Head(torch.ones(1), torch.zeros(()))
    assert head.costs(torch.tensor([[2.0], [-1.0]])) == [2.0, -1.0]
    assert ranks_right([2.0, 1.0, 3.0], [1.0, 1.0, 5.0], ["a", "a", "a"]) == (2, 2)
