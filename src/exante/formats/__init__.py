"""Published ways of writing down prompts, answers and labels: recognised, read, written, checked.

A row in, a record out; no file is opened here, and no row of any data set is part of this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from exante.errors import InputError, unknown_name
from exante.formats.answers import ANSWERS
from exante.formats.base import Content, Format, Preference, Reading, Row
from exante.formats.pairs import PAIRS
from exante.formats.prompts import (
    KIND_COLUMNS,
    PROMPT_COLUMNS,
    group_of,
    own_example,
    prompt_example,
    said_kind,
)
from exante.records import Example

OWN, PROMPTS = "examples", "prompts"

__all__ = [
    "FORMATS",
    "OWN",
    "PROMPTS",
    "Content",
    "Format",
    "Preference",
    "Reading",
    "ReadRow",
    "Row",
    "known_format",
    "read_row",
    "recognised",
    "unread",
]


_OURS = Format(
    OWN,
    "our own records: messages, kind, responses with unsafe, cost, reward; better, safer",
    tuple(Example.model_fields),
    lambda row: "messages" in row,
)
_ASKED = Format(
    PROMPTS,
    "prompts alone: " + ", ".join(PROMPT_COLUMNS) + "; kind, label or type",
    (*PROMPT_COLUMNS, *KIND_COLUMNS, "instances"),
    lambda row: any(column in row for column in PROMPT_COLUMNS),
)
FORMATS: dict[str, Format] = {form.name: form for form in (*PAIRS, *ANSWERS, _OURS, _ASKED)}
"""Known formats by name; the first that fits a row is taken."""


class ReadRow(NamedTuple):
    """What became of a row."""

    example: Example
    says_kind: bool
    """Is the kind known from row or user? Else it is provisional."""
    misfits: tuple[str, ...] = ()


def known_format(name: str) -> Format:
    """The format of that name.

    Raises:
        InputError: there is none.
    """
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS, where="--format")
    return FORMATS[name]


def recognised(row: Row) -> Format | None:
    """The format whose columns these are."""
    return next((form for form in FORMATS.values() if form.fits(row)), None)


def unread(form: Format, row: Row) -> tuple[str, ...]:
    """Columns of a row that nothing reads."""
    known = form.columns if form.name == OWN else (*form.columns, *KIND_COLUMNS)
    return tuple(str(name) for name in row if name not in known)


def read_row(form: Format, path: Path, line: int, number: int, row: Row, how: Reading) -> ReadRow:
    """The example of a row, the `number`-th of its file.

    Raises:
        InputError: the row does not fit; names file, line and field.
    """
    where = f"{path}:{line}"
    if form.name == OWN:
        if "messages" not in row:
            raise InputError("no column 'messages'", where=where, fix="see exante ls formats")
        return ReadRow(own_example(dict(row), where, number, how.kind), True)
    if form.read is None:
        return ReadRow(prompt_example(path, line, dict(row), None, how.kind, number), True)
    content = form.read(row, where, how)
    kind = said_kind(row, where) or how.kind or content.kind
    group = group_of(content.messages)
    example = Example(
        id=f"{path.stem}/{number}-{group[:8]}",
        messages=content.messages,
        kind=kind or "benign",
        responses=content.responses,
        better=content.better,
        safer=content.safer,
        source=path.name,
        split_group=group,
        facts=content.facts,
    )
    return ReadRow(example, kind is not None, content.misfits)
