"""Files that a killed stage continues: whole lines count, a torn last one is owed again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO, TypeVar

from exante.records import Record, read_jsonl

R = TypeVar("R", bound=Record)


def resumed(path: Path, model: type[R]) -> list[R]:
    """What an interrupted run had finished; the file then holds nothing else.

    Raises:
        InputError: a whole line is no such record.
    """
    if not path.is_file():
        return []
    whole = [line for line in path.read_text(encoding="utf-8").split("\n") if _is_json(line)]
    path.write_text("".join(line + "\n" for line in whole), encoding="utf-8")
    return read_jsonl(path, model)


def put(records: Iterable[Record], file: TextIO) -> None:
    """Append records, which a kill of this process can no longer take."""
    file.writelines(record.model_dump_json() + "\n" for record in records)
    file.flush()


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
