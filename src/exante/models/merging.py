"""An adapter merged into its base, and the proof that both say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exante.durable import new_folder
from exante.errors import InputError, RunError
from exante.models.adapters import is_adapter, merged
from exante.models.forward import response_logprobs_of
from exante.models.load import load_adapted, load_chat, save_model
from exante.models.packed import Group, pack

_ROWS, _PROMPT, _RESPONSE = 8, 8, 24
"""Fixed rows of random tokens: what two ways of computing the same function must agree on."""
TOLERANCE = {torch.float32: 1e-3}
"""Nats by which a token's log-prob may change through merging."""
ROUGH = 0.25
"""The same, where either side has weights of lower precision."""


@torch.inference_mode()
def fixed_logprobs(model: Any) -> Tensor:
    """Log-probs of the tokens of fixed rows, in nats, on the CPU."""
    words = min(
        model.config.get_text_config().vocab_size, model.get_input_embeddings().weight.shape[0]
    )
    dice = torch.Generator().manual_seed(0)

    def some(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(words, (count,), generator=dice).tolist())

    packed = pack([Group(some(_PROMPT), (some(_RESPONSE),)) for _ in range(_ROWS)], 0, shared=False)
    inputs = {name: value.to(model.device) for name, value in packed.inputs().items()}
    return response_logprobs_of(model, **inputs, shared=False).float().cpu()


def require_same(before: Tensor, after: Tensor, tolerance: float, where: Path) -> float:
    """The largest difference of two models' log-probs on the fixed rows, in nats per token.

    Raises:
        RunError: it is larger than the tolerance, or not finite.
    """
    away = float((before - after).abs().max())
    if not away <= tolerance:
        raise RunError(
            f"merging changed a token's log-prob by {away:.2g} nats, more than {tolerance:.2g}",
            where=str(where),
            fix="use the adapter, which is kept there",
        )
    return away


def merge_folder(folder: Path, out: Path, *, dtype: str = "float32") -> float:
    """Write the model of an adapter's folder as whole weights; how far log-probs moved, in nats.

    Raises:
        InputError: the folder holds no adapter, or `out` is there already.
        RunError: the merged model does not say the same; nothing is written.
    """
    if not is_adapter(folder):
        raise InputError(
            "holds whole weights already", where=str(folder), fix="use the folder as it is"
        )
    if out.exists():
        raise InputError("exists already", where=str(out), fix="choose another --output")
    model = load_adapted(folder, device="cpu")
    before = fixed_logprobs(model)
    whole = merged(model).to(getattr(torch, dtype))
    tolerance = TOLERANCE.get(whole.dtype, ROUGH)
    away = require_same(before, fixed_logprobs(whole), tolerance, folder)
    with new_folder(out) as place:
        save_model(whole, load_chat(folder), place)
    return away
