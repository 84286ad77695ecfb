"""The first loss of a preference training has a closed form; a wrong reference misses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from exante.errors import RunError
from exante.models.devices import autocast
from exante.models.forward import response_logprobs_of
from exante.training.losses import PairLoss, at_reference, pair_loss
from exante.training.settings import TrainSettings

_TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "auto": 3e-2}
"""By which the first loss may miss its closed form, relative to it where that is above 1."""


def check_first_loss(
    model: Any,
    parts: Sequence[Mapping[str, Any]],
    loss: PairLoss,
    settings: TrainSettings,
    *,
    shared: bool,
) -> None:
    """Policy and reference are the same weights, so the loss has a closed form.

    Raises:
        RunError: it has not: masks, reference or positions are wrong.
    """
    device = model.device
    for part in parts:
        moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in part.items()}
        inputs = {k: v.to(device) for k, v in part["inputs"].items()}
        with torch.inference_mode(), autocast(device.type, settings.precision):
            logprobs = response_logprobs_of(model, **inputs, shared=shared)
        found = float(pair_loss(logprobs, moved, loss)[1]["preference"])
        expected = at_reference(moved, loss)
        if abs(found - expected) > _TOLERANCE[settings.precision] * max(1.0, expected):
            raise RunError(
                f"at policy = reference the loss is {found:.4f}, not its closed form "
                f"{expected:.4f}",
                fix="the reference log-probs do not belong to these rows or weights; delete them",
            )
