"""Frozen weights in 4 or 8 bits, through bitsandbytes: an extra, asked for before work is spent."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

import torch

from exante.errors import InputError

Bits = Literal["4bit", "8bit"]


def require_quantization(bits: Bits, device: str) -> None:
    """Do nothing if weights can be held in so many bits here.

    Raises:
        InputError: bitsandbytes is not installed, or does not know the device.
    """
    if find_spec("bitsandbytes") is None:
        raise InputError(
            f"{bits} needs bitsandbytes, which is not installed",
            where="lora.quantize",
            fix="pip install 'exante[qlora]', or train with quantize: null",
        )
    import bitsandbytes

    kind = device.partition(":")[0]
    if kind not in bitsandbytes.supported_torch_devices:
        raise InputError(
            f"{bits} does not work on {kind} with this bitsandbytes",
            where="lora.quantize",
            fix="use a CUDA device, or train with quantize: null",
        )


def differentiable(model: Any) -> Any:
    """The model without the kernel that takes 4-bit weights on a CPU and has no gradient.

    bitsandbytes packs weights for it in the first pass that needs none, and then also trains with
    it: gradients of lower layers would be zero, with a warning at most.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def quantization(bits: Bits, compute: torch.dtype) -> Any:
    """In transformers' words: NF4 with doubly quantised scales (arXiv 2305.14314), or LLM.int8."""
    from transformers import BitsAndBytesConfig

    if bits == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
