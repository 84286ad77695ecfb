"""Reads data sets of prompts, answers and labels: what fits becomes examples, the rest is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exante.errors import InputError, listed
from exante.formats import FORMATS, Format, Reading, known_format, read_row, recognised, unread
from exante.records import Example, Record
from exante.rows import Fault, Rows, sift_rows

_Line = tuple[int, dict[str, Any] | Fault]


class Rejected(Record):
    """A row that made no example, and why."""

    where: str
    """File, line and, where it is one, the field."""
    problem: str
    fix: str | None
    row: Any
    """As it was read; its text where it could not be."""


@dataclass(slots=True)
class DataSet:
    """What a file holds; examples and their lines stand in the same order."""

    path: Path
    form: Format
    is_named: bool
    """The user says which format it is; else its columns do."""
    examples: list[Example] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    unread: tuple[str, ...] = ()
    """Columns of the first row that nothing reads."""
    misfits: Counter[str] = field(default_factory=Counter)
    """What has no place in a record, or was filled in, by how many rows."""

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return len(self.examples) + len(self.rejected)

    def placed(self) -> list[tuple[str, Example]]:
        """Every example with file and line."""
        return [
            (f"{self.path}:{line}", example)
            for line, example in zip(self.lines, self.examples, strict=True)
        ]


def read_data(
    path: Path,
    *,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
    how: Reading | None = None,
) -> DataSet:
    """The examples of a file; rows that do not fit are kept aside with their reasons.

    `columns` maps names of fields to the columns of this file. The kind of a prompt is what the
    row or `how` says, else harmful where the file labels one of its answers unsafe, else benign.

    Raises:
        InputError: the file cannot be read, its format is not recognised, or no row fits.
    """
    how = how or Reading()
    named = known_format(form) if form else None
    rows = _mapped(sift_rows(path), columns or {}, path)
    first = _first(rows, named)
    known = named or recognised(first or {})
    fault = next((row.error for _, row in rows if isinstance(row, Fault)), None)
    if first is None and fault is not None:
        raise InputError(
            f"none of {len(rows)} rows can be read; {fault.where}: {fault.problem}",
            where=str(path),
            fix=fault.fix,
        )
    if known is None:
        raise InputError(
            "holds no rows" if first is None else "its format is not recognised",
            where=str(path),
            fix="name it with --format, or its columns with --column FIELD=COLUMN; columns here: "
            + (listed(first) if first else "none")
            + f"; formats: {', '.join(FORMATS)}",
        )
    found = DataSet(path, known, form is not None)
    found.unread = unread(known, first or {})
    _fill(found, rows, how)
    if not found.examples:
        reason = found.rejected[0] if found.rejected else None
        raise InputError(
            f"none of {found.rows} rows fits the format {known.name}"
            + (f"; {reason.where}: {reason.problem}" if reason else ""),
            where=str(path),
            fix=(reason.fix if reason else None) or "name another with --format",
        )
    return found


def brings_answers(path: Path) -> bool:
    """Is it, by its first row, a file of answers rather than of prompts alone?

    Raises:
        InputError: the file cannot be read.
    """
    first = next((row for _, row in sift_rows(path) if isinstance(row, dict)), None)
    form = recognised(first) if first else None
    return form is not None and form.read is not None


def all_examples(found: Iterable[DataSet]) -> list[Example]:
    """The examples of several files.

    Raises:
        InputError: an id stands in two of them.
    """
    examples = [example for one in found for example in one.examples]
    twice = next((k for k, n in Counter(e.id for e in examples).items() if n > 1), None)
    if twice is not None:
        raise InputError(f"id {twice!r} stands in two files", fix="rename one of the files")
    return examples


def _mapped(rows: Rows, columns: Mapping[str, str], path: Path) -> list[_Line]:
    """Every row with the columns that were mapped under the names of their fields.

    Raises:
        InputError: no row has such a column.
    """
    found: list[_Line] = []
    there: dict[str, None] = {}
    for line, row in rows:
        if isinstance(row, Fault):
            found.append((line, row))
            continue
        there.update(dict.fromkeys(row))
        mapped = {field: row[column] for field, column in columns.items() if column in row}
        rest = {name: row[name] for name in row if name not in columns.values()}
        found.append((line, {**rest, **mapped}))
    missing = next((column for column in columns.values() if column not in there), None)
    if missing is not None:
        raise InputError(
            f"no column {missing!r} in {path}",
            where=f"--column {missing}",
            fix=f"columns here: {listed(there)}",
        )
    return found


def _first(rows: Iterable[_Line], form: Format | None) -> dict[str, Any] | None:
    """The row that tells the format: the first one of a known format, else the first one."""
    whole = [row for _, row in rows if isinstance(row, dict)]
    fits = form.fits if form else recognised
    return next((row for row in whole if fits(row)), whole[0] if whole else None)


def _fill(found: DataSet, rows: Iterable[_Line], how: Reading) -> None:
    seen: dict[str, int] = {}
    unsure: set[str] = set()
    for number, (line, row) in enumerate(rows, start=1):
        try:
            if isinstance(row, Fault):
                raise row.error
            made = read_row(found.form, found.path, line, number, row, how)
            if made.example.id in seen:
                raise InputError(
                    f"id {made.example.id!r} is also that of line {seen[made.example.id]}",
                    where=f"{found.path}:{line}: id",
                    fix="give every row an id of its own, or none",
                )
        except InputError as error:
            found.rejected.append(_rejected(error, row, f"{found.path}:{line}"))
            continue
        seen[made.example.id] = line
        found.examples.append(made.example)
        found.lines.append(line)
        found.misfits.update(made.misfits)
        if not made.says_kind:
            unsure.add(made.example.id)
    unsafe = _labelled_unsafe(found.examples)
    harmful = {e.id for e in found.examples if e.id in unsure and e.split_group in unsafe}
    found.examples = [
        e.model_copy(update={"kind": "harmful"}) if e.id in harmful else e for e in found.examples
    ]


def _rejected(error: InputError, row: dict[str, Any] | Fault, where: str) -> Rejected:
    # Rows of Parquet hold what JSON does not: bytes, days, decimals.
    told = row.text if isinstance(row, Fault) else json.loads(json.dumps(row, default=str))
    return Rejected(where=error.where or where, problem=error.problem, fix=error.fix, row=told)


def _labelled_unsafe(examples: Sequence[Example]) -> set[str]:
    """Split groups of prompts with an answer that is labelled unsafe."""
    return {e.split_group for e in examples if any(r.is_unsafe for r in e.responses)}
