"""A user's tables (CSV, TSV, JSON Lines, JSON lists, Parquet), row by row, each with its line."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from exante.errors import InputError

TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
"""Endings of files that are read here."""
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PACKED: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
_BROKEN = (OSError, ValueError, EOFError, lzma.LZMAError, zlib.error)
"""ValueError: bytes that are no UTF-8, and a name with a null byte."""
_SPACE = re.compile(r"\s*")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that may stand for half a character."""
_LINES = "each line is one JSON object"
_ITEMS = "each item of the list is one JSON object"
_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be read."""

    error: InputError
    text: str
    """The row as it stands in the file, its beginning if it is long; empty where unknown."""


Rows = Iterator[tuple[int, dict[str, Any] | Fault]]


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number (of Parquet: row number) and fields of each row.

    Raises:
        InputError: the file cannot be read or a row does not fit; names file and line.
    """
    for line, row in sift_rows(path):
        if isinstance(row, Fault):
            raise row.error
        yield line, row


def sift_rows(path: Path) -> Rows:
    """The same, with a fault in the place of each row that cannot be read.

    The ending decides; a `.json` file may hold one list of objects or JSON Lines, and any other
    ending is read as JSON Lines. Behind it may stand `.gz` or `.xz`.

    Raises:
        InputError: the file cannot be read.
    """
    ending = path.suffix.lower()
    if ending in _PACKED:
        ending = path.with_suffix("").suffix.lower()
    if ending in _DELIMITERS:
        yield from _csv_rows(path, _DELIMITERS[ending])
    elif ending == ".parquet":
        yield from _parquet_rows(path)
    else:
        text = _text(path)
        is_list = ending == ".json" and text.lstrip().startswith("[")
        yield from _json_list(path, text) if is_list else _jsonl_rows(path, text)


def sha256_of(path: Path) -> str:
    """Hash of a file's content.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot be read: {problem}", where=str(path), fix="check the path"
        ) from None


def _csv_rows(path: Path, delimiter: str) -> Rows:
    try:
        with _opened(path, newline="") as file:
            reader = csv.DictReader(file, strict=True, delimiter=delimiter)
            _require_single(reader.fieldnames or (), f"{path}:1")
            while True:
                try:
                    row = next(reader, None)
                except csv.Error as error:
                    yield (
                        reader.reader.line_num,
                        Fault(_no_csv(error, path, reader.reader.line_num), ""),
                    )
                    continue
                if row is None:
                    return
                yield reader.line_num, _whole(row, f"{path}:{reader.line_num}")
    except csv.Error as error:
        raise _no_csv(error, path, reader.reader.line_num) from None
    except _BROKEN as error:
        raise _unreadable(path, error) from None


def _no_csv(error: csv.Error, path: Path, line: int) -> InputError:
    return InputError(
        f"no valid CSV: {error}",
        where=f"{path}:{line}",
        fix='close every quote, and write a quote inside of one twice ("")',
    )


def _require_single(names: Sequence[str], where: str) -> None:
    """Refuse a table that names a column twice: only the last one would be read.

    Raises:
        InputError: it does.
    """
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"column {twice!r:.80} stands twice", where=where, fix="rename one of them"
        )


def _whole(row: dict[str, Any], where: str) -> dict[str, Any] | Fault:
    if None not in row and None not in row.values():
        return dict(row)
    error = InputError(
        "a row has another number of columns than the header",
        where=where,
        fix="quote fields that hold commas or line breaks",
    )
    return Fault(error, json.dumps(list(row.values()))[:_SHOWN])


class _Decoder(json.JSONDecoder):
    """Says whether a key stood twice in an object of what it read last; the last value wins."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._made)
        self.twice: str | None = None

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        """As the base class, whose `decode` calls it, too."""
        self.twice = None
        return super().raw_decode(s, idx)

    def _made(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self.twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        return found


def _jsonl_rows(path: Path, text: str) -> Rows:
    decoder = _Decoder()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = decoder.decode(line)
        except (ValueError, RecursionError) as error:
            problem = InputError(f"no valid JSON: {error}", where=where, fix=_LINES)
            yield number, Fault(problem, line[:_SHOWN])
            continue
        misfit = _misfit(row, line, decoder.twice, where, _LINES)
        yield number, Fault(misfit, line[:_SHOWN]) if misfit else row


def _json_list(path: Path, text: str) -> Rows:
    """Items of one JSON list, each with the line it begins at; behind a broken one, none."""
    decoder = _Decoder()
    place, line = text.index("[") + 1, 1
    counted = 0
    while True:
        place = _after_space(text, place)
        line, counted = line + text.count("\n", counted, place), place
        if text[place : place + 1] == "]" and not text[place + 1 :].strip():
            return
        where = f"{path}:{line}"
        try:
            row, place = decoder.raw_decode(text, place)
            end, place = place, _after_space(text, place)
            if text[place : place + 1] not in (",", "]"):
                raise ValueError("expecting ',' or ']' after an item")
        except (ValueError, RecursionError) as error:
            fix = "one list of objects: [{...}]"
            problem = InputError(f"no valid JSON: {error}", where=where, fix=fix)
            yield line, Fault(problem, text[counted : counted + _SHOWN])
            return
        item = text[counted:end]
        misfit = _misfit(row, item, decoder.twice, where, _ITEMS)
        yield line, Fault(misfit, item[:_SHOWN]) if misfit else row
        place += text[place] == ","


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _misfit(row: Any, text: str, twice: str | None, where: str, fix: str) -> InputError | None:
    """What is wrong with the JSON value of a text as a row; `twice` is a key that stood twice."""
    if not isinstance(row, dict):
        return InputError("not a JSON object", where=where, fix=fix)
    if _SURROGATE.search(text) and not _is_whole(row):
        fix = "leave it out of the text"
        return InputError("holds half a character (a lone surrogate)", where=where, fix=fix)
    if twice is not None:
        fix = "keep one: of two, nobody can tell which is meant"
        return InputError(f"key {twice!r:.80} stands twice in one object", where=where, fix=fix)
    return None


def _is_whole(row: dict[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet_rows(path: Path) -> Rows:
    # Comes with `datasets`; imported by name, since most files are not Parquet.
    parquet: Any = import_module("pyarrow.parquet")
    try:
        with path.open("rb") as file:
            table = parquet.ParquetFile(file)
            _require_single(table.schema_arrow.names, str(path))
            rows = table.read().to_pylist()
    except (OSError, ValueError, NotImplementedError) as error:
        raise _unreadable(path, error) from None
    yield from enumerate(rows, start=1)


def _opened(path: Path, newline: str | None = None) -> TextIO:
    unpack = _PACKED.get(path.suffix.lower(), open)
    file: TextIO = unpack(path, "rt", newline=newline, encoding="utf-8-sig")
    return file


def _text(path: Path) -> str:
    try:
        with _opened(path) as file:
            return file.read()
    except _BROKEN as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"cannot be read: {error}", where=str(path), fix="check path and encoding (UTF-8)"
    )
