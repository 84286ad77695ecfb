"""Data sets of the hub as files: fetched once, written as JSON Lines, then read like any other."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from exante.durable import put_in_place
from exante.errors import InputError

PREFIX = "hub:"
_ADDRESS = re.compile(
    r"hub:(?P<name>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?(?::(?P<config>[\w.-]+))?"
    r"(?:#(?P<split>[\w.\[\]:%+-]+))?"
)
_FORM = "hub:OWNER/NAME, with @REVISION, :CONFIG and #SPLIT behind it where they matter"


def located(name: str) -> Path:
    """The file of a name: its own path, or that of the data set's rows.

    Raises:
        InputError: it is on the hub and cannot be fetched.
    """
    return fetched(name) if name.startswith(PREFIX) else Path(name)


def fetched(address: str) -> Path:
    """The rows of a data set on the hub, or of its cached copy, as a JSON Lines file.

    The address is `hub:OWNER/NAME[@REVISION][:CONFIG][#SPLIT]`; the split is `train` where none is
    named. The file's name holds the fingerprint of the content.

    Raises:
        InputError: the address is malformed, or the data set cannot be fetched.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InputError("is no address of a data set", where=address, fix=_FORM)
    how = {"name": found["config"], "revision": found["revision"], "split": found["split"]}
    return rows_of(found["name"], **how, where=address)


def rows_of(
    path: str, *, name: str | None, revision: str | None, split: str | None, where: str
) -> Path:
    """The file for a data set by its hub id or its folder, made where it is not there yet.

    Raises:
        InputError: there is no such data set, configuration or split, or no network.
    """
    # Takes seconds to import, and needs it here only.
    import datasets

    try:
        rows: Any = datasets.load_dataset(path, name, split=split or "train", revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        # Their messages run over many lines; the first one says what it is.
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"cannot be fetched: {first[:300]}",
            where=where,
            fix=f"check the name, configuration and split ({_FORM}), the network, or give a file",
        ) from None
    file = Path(datasets.config.HF_DATASETS_CACHE) / "exante" / _file_name(path, rows)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        rows.to_json(part, force_ascii=False)
        put_in_place(part, file)
    return file


def _file_name(path: str, rows: Any) -> str:
    slug = re.sub(r"[^\w.-]+", "--", path.strip("/"))[-80:]
    return f"{slug}-{rows.split}-{rows._fingerprint}.jsonl"
