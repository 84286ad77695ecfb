"""Low-rank adapters (LoRA) as PEFT has them: put onto a model, written, and the base they name.

An adapter's folder holds its matrices, settings and tokenizer, and `base.json`: where the weights
are that it was trained on, their fingerprint, and whether its trace is opened. It has no
`config.json`, beside which transformers would look for whole weights. Nothing here loads a model.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from exante.errors import InputError, unknown_name
from exante.models.chat import Chat
from exante.models.faults import UNFIT, first_line
from exante.models.lora_targets import linear_targets
from exante.records import read_object, write_json

ADAPTER = "adapter_config.json"
"""PEFT's name for an adapter's settings; its presence makes a folder an adapter."""
BASE = "base.json"
TRACE = "exante_trace"
"""Field of a model's config, or of an adapter's `base.json`."""
_WEIGHTS = "adapter_model.safetensors"
_NO_MATTER = ("base_model_name_or_path", "inference_mode", "revision", "peft_version")
"""Settings of an adapter that decide nothing of what it computes."""


@dataclass(frozen=True, slots=True)
class Base:
    """The weights that an adapter belongs to."""

    name: str
    """A folder, `miniature`, or a hub id."""
    fingerprint: str | None
    """None where an adapter was not made here and names no more than a path."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What an adapter is made of; two that agree in it can take each other's matrices."""

    rank: int
    alpha: int
    targets: tuple[str, ...]
    tokens: tuple[int, ...]
    """Rows of the embeddings that it has for itself."""


def is_adapter(folder: Path) -> bool:
    """Does the folder hold an adapter, and no whole model?"""
    return (folder / ADAPTER).is_file()


def base_of(folder: Path) -> Base:
    """The base that an adapter names.

    Raises:
        InputError: it names none.
    """
    told = _document(folder / BASE) if (folder / BASE).is_file() else {}
    if "path" in told:
        way = str(told["path"])
        name = str((folder / way).resolve()) if way.startswith("..") else way
        return Base(name, told.get("fingerprint"))
    name = _document(folder / ADAPTER).get("base_model_name_or_path") or ""
    if not name:
        raise InputError("the adapter names no base", where=str(folder), fix=f"write {BASE}")
    return Base(name, None)


def shape_of(model: Any) -> Shape:
    """What the adapter on a model is made of."""
    config = model.peft_config["default"]
    tokens = config.trainable_token_indices or {}
    rows = next(iter(tokens.values()), ()) if isinstance(tokens, dict) else tokens
    targets = config.target_modules
    names = (targets,) if isinstance(targets, str) else tuple(sorted(targets))
    return Shape(config.r, config.lora_alpha, names, tuple(rows))


def adapter_settings(folder: Path) -> dict[str, Any]:
    """What decides what an adapter computes, beside its matrices; in one order whoever wrote it."""
    settings = _in_order(_document(folder / ADAPTER))
    return {name: settings[name] for name in sorted(settings) if name not in _NO_MATTER}


def chosen_targets(model: Any, names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of layers that get matrices; None takes all that suit.

    Raises:
        InputError: the model has no layer of that name; says which there are.
    """
    known = linear_targets(model)
    for name in names or ():
        if name not in known:
            raise unknown_name("layer", name, known, where="lora.targets")
    if not known:
        raise InputError(
            f"{type(model).__name__} has no linear layers in its blocks for LoRA",
            fix="train without LoRA",
        )
    return tuple(sorted(names or known))


def fresh(model: Any, shape: Shape, *, dropout: float, seed: int) -> Any:
    """The model with a new adapter that changes nothing yet; only the adapter can be trained."""
    from peft import LoraConfig, get_peft_model

    tables = (
        ["input"] if model.config.get_text_config().tie_word_embeddings else ["input", "output"]
    )
    names = [_name_of(model, getattr(model, f"get_{side}_embeddings")()) for side in tables]
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=dropout,
        target_modules=list(shape.targets),
        trainable_token_indices={n: list(shape.tokens) for n in names} if shape.tokens else None,
        task_type="CAUSAL_LM",
    )
    with _calm(), torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, config).eval()


def put_on(model: Any, folder: Path, *, dropout: float | None = None) -> Any:
    """The model with the adapter of a folder on it; to be trained, if a `dropout` is given.

    Raises:
        InputError: the matrices are no safetensors, or belong to another architecture.
    """
    from peft import PeftConfig, PeftModel

    kind = adapter_settings(folder).get("peft_type")
    if kind != "LORA":
        raise InputError(f"an adapter of kind {kind}", where=str(folder), fix="give one of LoRA")
    if not (folder / _WEIGHTS).is_file():
        raise InputError(
            f"no {_WEIGHTS}; other weight formats can run code and are not loaded",
            where=str(folder),
            fix="save the adapter again with save_pretrained",
        )
    try:
        with _calm():
            config = PeftConfig.from_pretrained(str(folder))
            config.lora_dropout = dropout or 0.0
            trained = dropout is not None
            return PeftModel.from_pretrained(
                model, folder, is_trainable=trained, config=config
            ).eval()
    except UNFIT as error:
        raise InputError(
            f"the adapter does not fit its base: {first_line(error)}",
            where=str(folder),
            fix="give the base that it was trained on",
        ) from None


def merged(model: Any) -> Any:
    """The plain model with the adapter's changes in its own weights; the adapter is gone."""
    # PEFT leaves weights frozen that anyone may want to train on.
    return model.merge_and_unload().requires_grad_(True).eval()


def write_adapter(model: Any, chat: Chat, folder: Path, base: Path | str, fingerprint: str) -> None:
    """Write the adapter on a model, with tokenizer, and the base it was trained on.

    A base beside the adapter, in the same run, is named by the way there, so that a run folder can
    be moved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _calm():
        model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty form
    write_json(folder / ADAPTER, _in_order(_document(folder / ADAPTER)))
    model.get_base_model().generation_config.save_pretrained(folder)
    chat.tokenizer.save_pretrained(folder)
    told = {"path": _way(folder, base), "fingerprint": fingerprint}
    mark = getattr(model.config, TRACE, None)
    write_json(folder / BASE, told | ({TRACE: mark} if mark else {}))


def copy_adapter(source: Path, target: Path) -> None:
    """Copy an adapter's folder to where the way to its base may be another."""
    base = base_of(source)
    shutil.copytree(source, target, dirs_exist_ok=True)
    told = _document(source / BASE) if (source / BASE).is_file() else {}
    way = {"path": _way(target, base.name), "fingerprint": base.fingerprint}
    write_json(target / BASE, told | way)


def _way(folder: Path, base: Path | str) -> str:
    """How `base.json` names a base; a name that is no path stays as it is."""
    place, here = Path(base), folder.resolve()
    if not place.is_absolute():
        return str(base)
    return os.path.relpath(place, here) if place.is_relative_to(here.parent.parent) else str(place)


def _document(path: Path) -> dict[str, Any]:
    return read_object(path, fix="save the adapter again")


def _in_order(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with their targets, which PEFT writes as they come out of a set, in order."""
    targets = settings.get("target_modules")
    return (
        {**settings, "target_modules": sorted(targets)} if isinstance(targets, list) else settings
    )


def _name_of(model: Any, module: Any) -> str:
    names: dict[Any, str] = {found: name for name, found in model.named_modules()}
    return names[module]


@contextmanager
def _calm() -> Iterator[None]:
    """PEFT reads an attribute that transformers is about to rename; theirs to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
