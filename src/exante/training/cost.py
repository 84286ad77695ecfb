"""Fitting the head of a cost model: a convex problem over all turns at once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations

import torch
from torch import Tensor

from exante.models.cost import Head
from exante.objectives.costs import anchored, pku_cost

_ITERATIONS = 200


def fit_head(
    features: Tensor, costs: Sequence[float], prompts: Sequence[Hashable], *, decay: float
) -> Head:
    """The head that minimises the cost loss on turns (turns, features) with known costs.

    Turns of one prompt that differ in cost make pairs; a turn in no pair is anchored by its sign
    alone. `decay` weighs the squared norm of the weights on standardised features. The problem is
    convex and is solved by L-BFGS in double precision, so nothing depends on a seed.
    """
    x = features.double()
    centre, scale = x.mean(0), x.std(0, correction=0).clamp(min=1e-6)
    x = (x - centre) / scale
    unsafe = torch.tensor([cost > 0 for cost in costs])
    costlier, cheaper, alone = _paired(costs, prompts)
    weight = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        found = x @ weight + bias
        pairs = pku_cost(found[costlier], found[cheaper], unsafe[costlier], unsafe[cheaper])
        others = anchored(found[alone], unsafe[alone])
        total = (pairs.sum() + others.sum()) / (len(pairs) + len(others))
        total = total + decay * weight.square().sum()
        total.backward()
        return total

    solver.step(loss)
    found = weight.detach() / scale
    return Head(found.float(), (bias.detach() - (found * centre).sum()).float())


def ranks_right(
    values: Sequence[float], costs: Sequence[float], prompts: Sequence[Hashable]
) -> tuple[int, int]:
    """Pairs of one prompt's turns that `values` order as `costs` do, and how many there are."""
    costlier, cheaper, _ = _paired(costs, prompts)
    right = sum(
        values[a] > values[b] for a, b in zip(costlier.tolist(), cheaper.tolist(), strict=True)
    )
    return right, len(costlier)


def _paired(costs: Sequence[float], prompts: Sequence[Hashable]) -> tuple[Tensor, Tensor, Tensor]:
    """Places of the costlier and the cheaper turns of pairs, and of turns in no pair."""
    places: dict[Hashable, list[int]] = {}
    for place, prompt in enumerate(prompts):
        places.setdefault(prompt, []).append(place)
    pairs = [
        (a, b) if costs[a] > costs[b] else (b, a)
        for mine in places.values()
        for a, b in combinations(mine, 2)
        if costs[a] != costs[b]
    ]
    used = {place for pair in pairs for place in pair}
    alone = [place for place in range(len(costs)) if place not in used]
    found = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return found[:, 0], found[:, 1], torch.tensor(alone, dtype=torch.long)
