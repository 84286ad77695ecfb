"""A name or folder to a model, a chat format and a fingerprint; safetensors only."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from exante.errors import InputError
from exante.models.chat import Chat
from exante.records import write_json

MINIATURE = "miniature"
_TRACE = "exante_trace"
"""Field of a model's config."""
_IDENTITY = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

transformers_logging.disable_progress_bar()


def resolve(name: str) -> Path:
    """The folder of a model: `miniature`, a local folder, or a Hugging Face id to download.

    Raises:
        InputError: there is no such folder, or the hub has no safetensors under that id.
    """
    if name == MINIATURE:
        return Path(str(resources.files("exante.miniature") / "base"))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise InputError("no such model folder", where=name, fix="give a folder or a hub id a/b")
    return _download(name)


def load_model(path: Path, *, dtype: str = "float32", device: str | None = None) -> Any:
    """The causal language model of a folder, in evaluation mode.

    Raises:
        InputError: the folder holds no config or no safetensors, or needs remote code.
    """
    if not (path / "config.json").is_file():
        raise InputError(
            "no config.json: not a model folder", where=str(path), fix="check the path"
        )
    if not list(path.glob("*.safetensors")):
        raise InputError(
            "no *.safetensors; other weight formats can run code and are not loaded",
            where=str(path),
            fix="save the model again with save_pretrained",
        )
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"cannot be loaded: {first}", where=str(path), fix="check that the folder is complete"
        ) from None
    return model.to(device or default_device()).eval()


def load_chat(path: Path, tag: str = "think") -> Chat:
    """The tokenizer and chat template of a model folder.

    Raises:
        InputError: there is no tokenizer, or it has no chat template.
    """
    return Chat(load_tokenizer(path), tag)


def load_tokenizer(path: Path) -> Any:
    """The tokenizer of a model folder, with or without a chat template.

    Raises:
        InputError: there is none.
    """
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"no usable tokenizer: {first}", where=str(path), fix="save the tokenizer beside it"
        ) from None


def context_length(model: Any) -> int:
    """Most tokens that a loaded model reads; without end where its config names no limit."""
    named = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(named or 1 << 30)


def default_device() -> str:
    """The first CUDA device, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def weights_fingerprint(path: Path) -> str:
    """sha256 over config, tokenizer and weights: what decides what the model says."""
    digest = hashlib.sha256()
    names = [*_IDENTITY, *sorted(p.name for p in path.glob("*.safetensors"))]
    for name in names:
        file = path / name
        if file.is_file():
            digest.update(name.encode())
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()


def save_model(model: Any, chat: Chat, folder: Path) -> None:
    """Write weights (safetensors), config and tokenizer to a folder that transformers loads."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, safe_serialization=True)
    chat.tokenizer.save_pretrained(folder)


def opened_trace(folder: Path) -> Literal["open", "free"]:
    """Is the start of a trace forced when this model is sampled? As its config says, else not."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "free"
    return "open" if isinstance(config, dict) and config.get(_TRACE) == "open" else "free"


def mark_trace(folder: Path, trace: Literal["open", "free"]) -> None:
    """Write into a saved model's config how it is sampled; models trained from it inherit it."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, _TRACE: trace})


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"cannot be downloaded: {first}",
            where=name,
            fix="check the id and the network, or give a local folder",
        ) from None


def native_bfloat16(device: str) -> bool:
    """Does the device multiply bfloat16 matrices in hardware (AMX, AVX512-BF16, recent GPUs)?"""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def sampling_dtype(precision: str, device: str | None = None) -> str:
    """The type of weights to sample with; `auto` is bfloat16 on GPUs that have it, else float32.

    On a CPU it saves a fifth of the time and changes 19 of 700 greedy answers of the embedded base:
    speed is not worth another model than the one that was trained.
    """
    if precision != "auto":
        return precision
    where = device or default_device()
    return "bfloat16" if where.startswith("cuda") and native_bfloat16(where) else "float32"


def autocast(device: str, precision: str) -> Any:
    """Context in which matrix products run in `precision`: float32, bfloat16, or auto.

    `auto` is bfloat16 where the device has it natively. Parameters keep their own type.
    """
    enabled = precision == "bfloat16" or (precision == "auto" and native_bfloat16(device))
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=enabled)
