"""Which linear layers an adapter takes, found in the model itself and not by its family's name."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

_ROUTERS = frozenset({"gate", "router", "shared_expert_gate"})
"""Layers that choose experts: an adapter there would change which ones run."""


def linear_targets(model: Any) -> list[str]:
    """Names of the linear layers of attention and feed-forward, as PEFT's `target_modules`.

    Short names, such as `q_proj`, each once and sorted. A full one only where the same short name
    also stands outside the layers, as that of the output layer, which gets no adapter. A model on
    the meta device will do; experts that are kept as one large tensor are no linear layers.
    """
    inner = {id(module) for module in model.get_decoder().modules()}
    named = {n: m for n, m in model.named_modules() if _is_linear(m)}
    head = model.get_output_embeddings()
    taken = {
        name
        for name, module in named.items()
        if id(module) in inner and module is not head and _short(name) not in _ROUTERS
    }
    left = {_short(name) for name in named.keys() - taken}
    return sorted({name if _short(name) in left else _short(name) for name in taken})


def _is_linear(module: nn.Module) -> bool:
    """A linear layer, GPT-2's way of writing one included; quantised ones are subclasses."""
    return isinstance(module, nn.Linear | Conv1D)


def _short(name: str) -> str:
    return name.rpartition(".")[2]
