"""Compiling a model's layers, where a compiler is at hand and the work is long enough to pay."""

from __future__ import annotations

import logging
import shutil
import sys
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

Shape = tuple[Any, ...]
_done: set[Shape] = set()
"""Shapes whose layers this process has compiled: torch keeps the code as long as it lives."""
_PAYS = 500_000
"""Tokens of training after which compiled layers have paid for their compilation."""


def compiler_found(device: str) -> bool:
    """Can torch.compile build kernels for the device here: a C++ compiler, or Triton?"""
    if device.startswith("cuda"):
        return find_spec("triton") is not None
    return sys.platform == "linux" and any(map(shutil.which, ("g++", "clang++", "c++")))


def worth_compiling(model: Any, tokens: float) -> bool:
    """Is training on so many tokens, passes included, longer than compiling, or is that done?"""
    known = _shape(model) in _done
    return (known or tokens >= _PAYS) and compiler_found(model.device.type)


def compile_layers(model: Any) -> int:
    """Compile each layer for changing numbers of rows and tokens; returns how many there are.

    Layers share their code, so one compilation serves all of them, and later models of the same
    shape in the same process, too.
    """
    layers = _layers(model)
    # A shape at which a kernel changes its strategy is compiled anew; few such steps exist.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 32)
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    for layer in layers:
        layer.compile(dynamic=True)
    _done.add(_shape(model))
    return len(layers)


def _layers(model: Any) -> list[nn.Module]:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = getattr(base.get_decoder(), "layers", None)
    return list(layers) if isinstance(layers, nn.ModuleList) else []


def _shape(model: Any) -> Shape:
    """What decides whether code that was compiled before fits this model."""
    weights = (
        (n, tuple(p.shape)) for layer in _layers(model)[:1] for n, p in layer.named_parameters()
    )
    return type(model).__name__, str(model.config._attn_implementation), *weights
