"""A model folder to the hub: what may leave the machine, and nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from exante.durable import write_text
from exante.errors import InputError, RunError
from exante.models.faults import first_line

_UPLOADED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
)
"""Weights without code, and what reads them. Logs, data and checkpoints stay here."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def check_ready(name: str) -> None:
    """Do nothing if `name` can be uploaded to as far as this machine knows.

    Raises:
        InputError: it is no id, there is no token, or the hub is switched off.
    """
    from huggingface_hub import constants, get_token

    require_id(name)
    if constants.is_offline_mode():
        raise InputError(
            "the hub is switched off in this environment", where=name, fix="unset HF_HUB_OFFLINE"
        )
    if get_token() is None:
        raise InputError(
            "not logged in to the hub", where=name, fix="hf auth login, or export HF_TOKEN=..."
        )


def require_id(name: str) -> None:
    """Raises InputError where `name` is no id of the hub."""
    if not _ID.fullmatch(name) or ".." in name or "--" in name:
        raise InputError("is no hub id", where=name, fix="give USER/NAME")


def gather(model: Path, card: str, folder: Path) -> list[str]:
    """Put what is uploaded into an empty folder; the names, in order.

    Raises:
        InputError: the model folder has no safetensors.
    """
    names = sorted({path.name for pattern in _UPLOADED for path in model.glob(pattern)})
    if not any(name.endswith(".safetensors") for name in names):
        raise InputError("holds no *.safetensors", where=str(model), fix="check the path")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(model / name, folder / name)
    write_text(folder / "README.md", card)
    return ["README.md", *names]


def upload(folder: Path, name: str, *, private: bool) -> str:
    """Upload a gathered folder as one commit; the address of the model.

    Raises:
        InputError: see `check_ready`.
        RunError: the hub cannot be reached, or refuses.
    """
    check_ready(name)
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload with exante")
    except Exception as error:
        # Connections, proxies, rights and quotas fail in many classes of several packages.
        raise RunError(
            f"could not be uploaded: {first_line(error)}",
            where=name,
            fix="nothing is lost; `exante push` tries again",
        ) from error
    return str(address)
