"""Small random models of a large one's architecture: to try out what it can do, or a whole run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from exante.durable import new_folder
from exante.errors import InputError
from exante.models.folders import config_of
from exante.models.load import load_chat, save_model

_NARROW = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "head_dim": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_local_experts": 2,
    "num_experts": 2,
    "num_experts_per_tok": 1,
}
_FEW_WORDS = {
    "vocab_size": 128,
    "sliding_window": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def small_like(config: Any, *, words: bool = False) -> Any:
    """A random model of few and narrow layers, of each kind that the config has; None if it fails.

    What an architecture can do does not depend on its width. With `words` it keeps vocabulary and
    windows, and so reads what the large one reads.
    """
    small = copy.deepcopy(config.get_text_config())
    kinds = getattr(small, "layer_types", None)
    layers = list(dict.fromkeys(kinds)) if kinds else ["full_attention"]
    layers = (layers * 2)[: max(2, len(layers))]
    narrow = {**_NARROW, **({} if words else _FEW_WORDS), "num_hidden_layers": len(layers)}
    try:
        for name, value in narrow.items():
            if getattr(small, name, None) is not None:
                setattr(small, name, value)
        if kinds:
            small.layer_types = layers
        return AutoModelForCausalLM.from_config(small, trust_remote_code=False).float().eval()
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return None


def shrink(folder: Path, out: Path) -> int:
    """Write a small random model with a folder's tokenizer and chat template; its parameters.

    The folder needs no weights.

    Raises:
        InputError: config or tokenizer cannot be used, or `out` holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise InputError("holds something already", where=str(out), fix="choose another folder")
    chat = load_chat(folder)
    torch.manual_seed(0)
    model = small_like(config_of(folder), words=True)
    if model is None:
        raise InputError(
            "this architecture cannot be made smaller",
            where=str(folder),
            fix="try things out on another model, or on the miniature",
        )
    with new_folder(out) as place:
        save_model(model, chat, place)
    return int(model.num_parameters())
