"""The tables of malformed inputs: what is written, what is called, and what the message must name.

A table is a YAML file: `run` is the command, `file` the file that `text`, `swap` (old and new words
of the sound `base`), `hex` or `make` (a function of `builders`) puts there, `says` what stands in
the message. A case overrides any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_TABLES = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Case:
    """One malformed input."""

    table: str
    name: str
    content: bytes | None
    """Of the file; None where a function makes it, or nothing is written."""
    says: tuple[str, ...]
    """Words of the message: file, line, field and way out."""
    fields: dict[str, Any] = field(default_factory=dict)
    """All that table and case say."""

    @property
    def label(self) -> str:
        """Table and name, for pytest."""
        return f"{self.table}-{self.name}"


def cases(table: str) -> list[Case]:
    """The cases of a table, in order."""
    return list(_cases(table))


def tables() -> list[str]:
    """Names of all tables."""
    return sorted(path.stem for path in _TABLES.glob("*.yaml"))


def base_of(table: str) -> bytes:
    """The sound input that a table's cases are made from."""
    return str(_document(table)["base"]).encode()


def _document(table: str) -> dict[str, Any]:
    found = yaml.safe_load((_TABLES / f"{table}.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def _cases(table: str) -> Iterator[Case]:
    document = _document(table)
    common = {key: value for key, value in document.items() if key != "cases"}
    for name, own in document["cases"].items():
        fields = {**common, **own}
        says = fields.get("says", ())
        told = (says,) if isinstance(says, str) else tuple(says)
        yield Case(table, name, _content(fields, f"{table}: {name}"), told, fields)


def _content(fields: dict[str, Any], where: str) -> bytes | None:
    if "hex" in fields:
        return bytes.fromhex(fields["hex"])
    if "text" in fields:
        return str(fields["text"]).encode()
    if "swap" in fields:
        old, new = fields["swap"]
        assert old in fields["base"], f"{where}: {old!r} is not in the base"
        return str(fields["base"].replace(old, new, 1)).encode()
    return None
