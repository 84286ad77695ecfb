"""Compiling a model's layers, where a compiler is at hand and the work is long enough to pay."""

from __future__ import annotations

import logging
import shutil
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from exante.models.faults import first_line
from exante.models.forward import without_adapters

Shape = tuple[Any, ...]
_done: set[Shape] = set()
"""Shapes whose layers this process has compiled: torch keeps the code as long as it lives."""
_PAYS = 500_000
"""Tokens of training after which compiling has paid for itself: for the miniature, 18 seconds
against 40 microseconds a token. Larger models pay sooner."""


@cache
def compiler_works(device: str) -> bool:
    """Can torch.compile build kernels for this type of device here?

    Tried out on a sum, because a compiler may be there and what it includes may not.
    """
    found = (
        find_spec("triton") is not None
        if device == "cuda"
        else any(map(shutil.which, ("g++", "clang++", "c++")))
    )
    if not found:
        return False
    try:
        torch.compile(torch.add)(torch.ones(2, device=device), 1)
    except Exception as error:  # noqa: BLE001 (whatever goes wrong in a tool chain)
        logging.getLogger(__name__).warning("layers stay uncompiled: %s", first_line(error))
        return False
    return True


def worth_compiling(model: Any, tokens: float) -> bool:
    """Is training on so many tokens, passes included, longer than compiling, or is that done?"""
    known = _shape(model) in _done
    return (known or tokens >= _PAYS) and compiler_works(model.device.type)


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
    layers = getattr(without_adapters(model).get_decoder(), "layers", None)
    return list(layers) if isinstance(layers, nn.ModuleList) else []


def _shape(model: Any) -> Shape:
    """What decides whether code that was compiled before fits this model."""
    weights = (
        (n, tuple(p.shape)) for layer in _layers(model)[:1] for n, p in layer.named_parameters()
    )
    return type(model).__name__, str(model.config._attn_implementation), *weights
