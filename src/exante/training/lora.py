"""Training an adapter instead of all weights: what is trained, what it is held at, what is saved.

One adapter goes through all stages of a recipe. A stage whose policy is an adapter goes on with
it, on the base that it was trained on, and so the model as it comes in is the reference of a
preference training, whose log-probs are computed before the first step: nothing is switched off,
and no second model is kept.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from exante.errors import InputError
from exante.models.adapters import (
    Shape,
    chosen_targets,
    fresh,
    is_adapter,
    merged,
    shape_of,
    write_adapter,
)
from exante.models.chat import Chat
from exante.models.devices import sampling_dtype
from exante.models.folders import MINIATURE, base_folder, resolve, weights_fingerprint
from exante.models.load import load_adapted, load_full, load_model, save_model, stop_at_ends
from exante.models.merging import ROUGH, TOLERANCE, fixed_logprobs, require_same
from exante.training.embeddings import markup_ids
from exante.training.settings import LoraSettings, TrainSettings
from exante.training.sharding import load_policy

_KEPT = "adapter"
"""Folder of the adapter until it is merged."""


@dataclass(frozen=True, slots=True)
class LoraSummary:
    """What was trained, and how far what is sampled is from it."""

    rank: int
    trainable: int
    """Parameters that were trained."""
    moved: float | None = None
    """Largest difference of a token's log-prob, in nats on fixed rows, between the model as it was
    trained and its adapter on full weights; None where that was not computed."""


def trainable(policy: Path, chat: Chat, settings: TrainSettings) -> Any:
    """The policy, ready to be trained: all of it, or an adapter on it.

    Raises:
        InputError: the adapter of the policy, or the one asked for, does not fit.
    """
    lora = settings.lora
    if lora is None:
        return load_policy(policy)
    tokens = tuple(markup_ids(chat)) if settings.embeddings == "markup" else ()
    if not is_adapter(policy):
        model = frozen(policy, settings)
        targets = chosen_targets(model, None if lora.targets == "auto" else lora.targets)
        shape = Shape(lora.rank, lora.scale, targets, tokens)
        return fresh(model, shape, dropout=lora.dropout, seed=settings.seed)
    dtype = sampling_dtype(settings.precision)
    model = load_adapted(policy, dtype=dtype, quantize=lora.quantize, dropout=lora.dropout)
    found = shape_of(model)
    # Targets that nobody named are those that the adapter has.
    targets = found.targets if lora.targets == "auto" else tuple(sorted(lora.targets))
    _require_same_shape(found, Shape(lora.rank, lora.scale, targets, tokens), policy)
    return model


def frozen(folder: Path, settings: TrainSettings) -> Any:
    """A model that is not trained itself, as its part in the training has it.

    Under a full training that is float32; under an adapter, the precision it computes in.
    """
    lora = settings.lora
    if lora is None:
        return load_model(folder)
    dtype = sampling_dtype(settings.precision)
    if lora.quantize is None:
        return load_model(folder, dtype=dtype)
    load = load_adapted if is_adapter(folder) else load_full
    return load(folder, dtype=dtype, quantize=lora.quantize)


def frozen_fingerprint(folder: Path, settings: TrainSettings) -> str:
    """What identifies the log-probs of a frozen model: its weights, and how they are held."""
    bits = settings.lora.quantize if settings.lora else None
    found = weights_fingerprint(folder)
    return f"{found} in {bits}" if bits else found


def save_trained(
    model: Any,
    chat: Chat,
    out: Path,
    policy: Path,
    settings: TrainSettings,
    weights: dict[str, Tensor] | None = None,
) -> LoraSummary | None:
    """Write the trained model to `out/model`: all weights, an adapter, or an adapter merged.

    `weights` are given where they were divided among processes.

    Raises:
        RunError: the merged model says something else than the trained one; the adapter is kept.
    """
    lora = settings.lora
    if lora is None:
        save_model(model, chat, out / "model", weights)
        return None
    model.eval()
    place = out / ("model" if lora.save == "adapter" else _KEPT)
    base = base_folder(policy) if is_adapter(policy) else policy
    base = base.resolve()
    name = MINIATURE if base == resolve(MINIATURE).resolve() else base
    stop_at_ends(model.get_base_model(), chat)
    write_adapter(model, chat, place, name, weights_fingerprint(base))
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    moved = None
    if lora.quantize or lora.save == "merged":
        moved = _on_full_weights(model, chat, place, out, lora)
    return LoraSummary(lora.rank, count, moved)


def whole_weights(model: Any, settings: TrainSettings) -> Any:
    """The trained model with weights of its own; an adapter is merged in memory.

    Raises:
        InputError: its base is quantised.
    """
    if settings.lora is None:
        return model
    if settings.lora.quantize:
        raise InputError(
            "a patch is made of full weights", where="lora.quantize", fix="set it to null"
        )
    return merged(model)


def _on_full_weights(model: Any, chat: Chat, place: Path, out: Path, lora: LoraSettings) -> float:
    """Load the adapter as everyone will, compare, and keep the merged weights if asked for."""
    before = fixed_logprobs(model)
    whole = load_model(place, device="cpu")
    # What a quantised base leaves out of its weights comes back here: told, and no mistake.
    exact = TOLERANCE.get(model.dtype, ROUGH)
    limit = float("inf") if lora.quantize else exact
    moved = require_same(before, fixed_logprobs(whole), limit, place)
    if lora.save == "merged":
        save_model(whole, chat, out / "model")
        shutil.rmtree(place)
    return moved


def _require_same_shape(found: Shape, asked: Shape, policy: Path) -> None:
    known = asdict(found)
    differing = [name for name, value in asdict(asked).items() if known[name] != value]
    if differing:
        first = differing[0]
        what = "embeddings" if first == "tokens" else f"lora.{first}"
        raise InputError(
            f"the policy's adapter has another {what} than this step: "
            f"{known[first]}, not {asdict(asked)[first]}",
            where=str(policy),
            fix="take the same in every step, or `save: merged` in the step that made the policy",
        )
