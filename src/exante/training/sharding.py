"""Weights divided among processes (FSDP2, ZeRO): how a model comes in, and how it comes out whole.

Gradients that are only averaged (DDP) need nothing of this: every process holds all weights.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from exante.errors import InputError
from exante.models.adapters import is_adapter
from exante.models.devices import default_device
from exante.models.forward import can_share
from exante.models.load import load_model
from exante.models.ranks import from_main
from exante.training.settings import TrainSettings

Division = Literal["none", "fsdp", "deepspeed"]
_WHERE = "accelerate launch"


def division() -> Division:
    """Who divides the weights in this process, as its launcher said."""
    for kind in ("fsdp", "deepspeed"):
        if os.environ.get(f"ACCELERATE_USE_{kind.upper()}", "false").lower() == "true":
            return kind
    return "none"


def load_policy(path: Path) -> Any:
    """The model to train: on its device, or, where weights are divided, still outside of it.

    One process per machine then reads the weights if `fsdp_cpu_ram_efficient_loading` is set, and
    the others hold none until the Trainer deals them out.
    """
    return load_model(path, whole=division() == "none")


def divided_reference(path: Path) -> tuple[Any, bool]:
    """A frozen model whose weights FSDP divides, and whether it can share rows."""
    from accelerate import Accelerator
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model

    model = load_policy(path).requires_grad_(False)
    shared = from_main(lambda: can_share(model))
    accelerator = Accelerator(cpu=default_device() == "cpu")
    require_divided(accelerator.is_fsdp2)
    return fsdp2_prepare_model(accelerator, model).eval(), shared


def require_divisible(policy: Path, settings: TrainSettings) -> None:
    """Refuse what cannot be trained with divided weights, before any are read.

    Raises:
        InputError: says which setting.
    """
    kind = division()
    if kind != "none" and (settings.lora is not None or is_adapter(policy)):
        raise InputError(
            "adapters are not trained, nor trained on, with divided weights",
            where=_WHERE,
            fix="use a config without FSDP or DeepSpeed; an adapter needs little memory, and "
            "`exante model merge` makes a whole model of one",
        )
    if kind == "fsdp" and os.environ.get("FSDP_VERSION", "1") != "2":
        raise InputError("FSDP 1 is not supported", where=_WHERE, fix="fsdp_version: 2")
    if kind == "deepspeed" and settings.embeddings == "markup":
        raise InputError(
            "`embeddings: markup` cannot be kept by DeepSpeed, which holds gradients of its own",
            where="train.embeddings",
            fix="set it to `all`, or use FSDP2",
        )


def require_divided(divided: bool) -> None:
    """Refuse to go on as if nothing had been asked for.

    Raises:
        InputError: FSDP was asked for, and accelerate trains without it.
    """
    if division() == "fsdp" and not divided:
        raise InputError(
            "accelerate divides weights over GPUs only, and here is none",
            where=_WHERE,
            fix="use a config without FSDP",
        )


def joined_weights(trainer: Any) -> dict[str, Tensor] | None:
    """All weights on the main process where they are divided; None where the model has them.

    Every process must call this.
    """
    if division() == "none":
        return None
    found: dict[str, Tensor] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return found


class RowMask:
    """Lets gradients of the embeddings through at some rows only, where weights are divided.

    What `keep_embeddings` hangs on the tables is lost when they are divided.
    """

    def __init__(self, free: Sequence[int]) -> None:
        """`free` rows may change."""
        self.free = list(free)
        self.mask: Tensor | None = None

    def __call__(self, model: Any) -> None:
        """Mask what the backward pass has left; to be called before gradients are clipped."""
        modules = (model.get_input_embeddings(), model.get_output_embeddings())
        for table in {module.weight for module in modules if module is not None}:
            if table.grad is not None:
                table.grad.mul_(self._mask(table.grad))

    def _mask(self, like: Tensor) -> Tensor:
        if self.mask is None:
            self.mask = torch.zeros(len(like), 1, dtype=like.dtype, device=like.device)
            self.mask[self.free] = 1
            if isinstance(like, DTensor):
                self.mask = distribute_tensor(self.mask, like.device_mesh, like.placements)
        return self.mask
