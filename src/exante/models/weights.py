"""The weights of a loaded model as tensors by name, taken out and put back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from exante.models.patches import Weights


def weights_of(model: Any) -> dict[str, Tensor]:
    """A copy of every parameter by name; tied ones stand under their first name."""
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def gradients_of(model: Any) -> dict[str, Tensor]:
    """The gradient of every parameter that has one."""
    return {n: p.grad.detach().clone() for n, p in model.named_parameters() if p.grad is not None}


@torch.no_grad()
def put_weights(model: Any, weights: Weights) -> None:
    """Overwrite every parameter of the model."""
    for name, value in model.named_parameters():
        value.copy_(weights[name])
