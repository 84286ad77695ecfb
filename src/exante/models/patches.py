"""Arithmetic on weights: what a training changed, which entries of it stay, and mixtures.

Pure functions of tensors by name. No model, no data and no disk enter here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from exante.errors import InputError

Weights = Mapping[str, Tensor]
"""Tensors by name: weights, changes of them, scores or masks of their entries."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of weights, the entries of it that are applied, and how strongly."""

    change: Weights
    mask: Weights
    scale: float = 1.0


def difference(after: Weights, before: Weights) -> dict[str, Tensor]:
    """What must be added to `before` to get `after`.

    Raises:
        InputError: they are not the weights of one architecture.
    """
    _require_same(after, before)
    return {name: after[name] - before[name] for name in before}


def importance(weights: Weights, gradients: Weights) -> dict[str, Tensor]:
    """How much the loss hangs on each entry: `|weight * gradient|` (SNIP, arXiv 1810.02340).

    The entries of a tensor without gradient do not matter at all.
    """
    return {
        name: (value * gradients[name]).abs() if name in gradients else torch.zeros_like(value)
        for name, value in weights.items()
    }


def drawn(like: Weights, share: float, seed: int) -> dict[str, Tensor]:
    """Masks in which every entry is true with probability `share`, by itself."""
    dice = torch.Generator().manual_seed(seed)
    return {
        name: (torch.rand(value.shape, generator=dice) < share).to(value.device)
        for name, value in like.items()
    }


def top(scores: Weights, share: float) -> dict[str, Tensor]:
    """Masks of the entries with the highest scores, this share of each tensor, rounded down."""
    found: dict[str, Tensor] = {}
    for name, value in scores.items():
        best = value.flatten().topk(int(share * value.numel())).indices
        mask = torch.zeros(value.numel(), dtype=torch.bool, device=value.device)
        mask[best] = True
        found[name] = mask.view(value.shape)
    return found


def kept(random: Weights, important: Weights, others: Weights) -> dict[str, Tensor]:
    """The entries of a patch that stay: random and important ones, without the other's important.

    The difference set of SafePatching (arXiv 2405.13820).
    """
    return {name: (random[name] | important[name]) & ~others[name] for name in random}


def patched(weights: Weights, patches: Iterable[Patch]) -> dict[str, Tensor]:
    """The weights with every patch added where its mask allows, times its scale."""
    found = {name: value.clone() for name, value in weights.items()}
    for patch in patches:
        for name, value in found.items():
            value += patch.scale * patch.change[name] * patch.mask[name]
    return found


def mixed(one: Weights, other: Weights, share: float) -> dict[str, Tensor]:
    """The point between two models: `(1 - share) * one + share * other`.

    Raises:
        InputError: they are not the weights of one architecture.
    """
    _require_same(one, other)
    return {name: torch.lerp(one[name], other[name], share) for name in one}


def _require_same(one: Weights, other: Weights) -> None:
    for name in {**one, **other}:
        if name not in one or name not in other or one[name].shape != other[name].shape:
            raise InputError(
                f"the weights differ in form at {name}",
                fix="combine models that were trained from the same base",
            )
