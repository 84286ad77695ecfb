"""The files that a finished step consists of: listed in its stamp, and held against the disk.

A file whose size and time are as listed counts as unchanged, as in git's index; any other is read.
Checkpoints, hidden files, and the card that is written beside a finished model are no part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from exante.durable import CHECKPOINTS
from exante.errors import ArtefactError
from exante.pages.card import CARD
from exante.records import Record

STAMP = "stage.json"
_BESIDES = (STAMP, CARD)


class Listed(Record):
    """One file, as it was when the step was finished."""

    bytes: int
    changed_ns: int
    """Time of its last change as the filesystem tells it; compared, never ordered."""
    sha256: str


class Damage(Record):
    """What is wrong with one file."""

    file: str
    """Its path inside the step's folder."""
    what: Literal["is missing", "was changed", "is none of its files"]

    def __str__(self) -> str:
        """As part of a message."""
        return f"{self.file} {self.what}"


Contents = dict[str, Listed]
"""Files by their path inside the folder."""


def contents_of(folder: Path) -> Contents:
    """Every file of a folder that is about to be finished, read once."""
    return {
        name: Listed(bytes=size, changed_ns=changed, sha256=_sha256(str(folder / name)))
        for name, size, changed in sorted(files_of(folder))
    }


def content_hash(contents: Mapping[str, Listed]) -> str:
    """What a step came out as: names and contents of its files, without their times."""
    told = {name: listed.sha256 for name, listed in sorted(contents.items())}
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def listed_in(stamp: Mapping[str, Any]) -> Contents | None:
    """The files that a stamp lists; None of a stamp from before they were listed.

    Raises:
        ArtefactError: the list is none, or not the one that was written.
    """
    if "files" not in stamp:
        return None
    try:
        found = {name: Listed.model_validate(one) for name, one in stamp["files"].items()}
    except (ValueError, AttributeError):
        found = {}
    if content_hash(found) != stamp.get("content"):
        raise ArtefactError("the list of files in its stamp was changed")
    return found


def damages(folder: Path, contents: Contents, *, thorough: bool = False) -> list[Damage]:
    """Where a folder differs from its list; `thorough` reads files that look unchanged, too."""
    there = {name: (size, changed) for name, size, changed in files_of(folder)}
    found: list[Damage] = []
    for name in sorted({*contents, *there}):
        if name not in there:
            found.append(Damage(file=name, what="is missing"))
        elif name not in contents:
            found.append(Damage(file=name, what="is none of its files"))
        elif not _is_as_listed(folder / name, contents[name], *there[name], thorough=thorough):
            found.append(Damage(file=name, what="was changed"))
    return found


def _is_as_listed(path: Path, listed: Listed, size: int, changed: int, *, thorough: bool) -> bool:
    if size != listed.bytes:
        return False
    if changed == listed.changed_ns and not thorough:
        return True
    found = _sha256(str(path)) if thorough else _known_sha256(str(path), changed)
    return found == listed.sha256


def files_of(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Path inside the folder, bytes and time of change of each file that counts."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.name in _BESIDES or name.parts[0] == CHECKPOINTS:
            continue
        if any(part.startswith(".") for part in name.parts):
            continue
        if path.is_file():
            about = path.stat()
            yield name.as_posix(), about.st_size, about.st_mtime_ns


@lru_cache(maxsize=4096)
def _known_sha256(path: str, _changed_ns: int) -> str:
    """Kept while a file's time is the same, for every step that reads it asks."""
    return _sha256(path)


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
