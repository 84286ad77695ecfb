"""Files that a killed stage continues: whole lines count, a torn last one is owed again.

Of several processes each appends to a file of its own, beside that of the main one; whoever
continues, in whatever number, reads them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO, TypeVar

from exante.durable import write_text
from exante.models.ranks import await_path, ranks
from exante.records import Record, parse_line

R = TypeVar("R", bound=Record)


def resumed(path: Path, model: type[R]) -> list[R]:
    """What interrupted processes had finished; this one's file then holds whole lines only.

    Raises:
        InputError: a whole line is no such record.
    """
    mine = own_file(path)
    if mine.is_file():
        # At once: another process may be reading it.
        write_text(mine, "".join(line + "\n" for line in whole_lines(mine)))
    return [record for file in _files(path) for record in _records(file, model)]


def merged(path: Path, model: type[R]) -> list[R]:
    """What all processes have finished; to be called when they have."""
    for number in range(ranks().count):
        await_path(_file(path, number))
    return [record for file in _files(path) for record in _records(file, model)]


def own_file(path: Path) -> Path:
    """The file this process appends to; that of the main one is `path` itself."""
    return _file(path, ranks().number)


def forgotten(path: Path) -> None:
    """Remove the files of all processes."""
    for file in _files(path):
        file.unlink()


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that are JSON; none where there is no file."""
    if not path.is_file():
        return []
    # As bytes: what tears a line may tear a character.
    return [line.decode() for line in path.read_bytes().split(b"\n") if _is_json(line)]


def put(records: Iterable[Record], file: TextIO) -> None:
    """Append records, which a kill of this process can no longer take; a power cut can."""
    file.writelines(record.model_dump_json() + "\n" for record in records)
    file.flush()


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}") if number else path


def _files(path: Path) -> list[Path]:
    """The files of all processes that ever worked on this."""
    others = path.parent.glob(f"{path.stem}.*{path.suffix}")
    return sorted(file for file in {path, *others} if file.is_file())


def _records(file: Path, model: type[R]) -> list[R]:
    return [parse_line(line, model, where=str(file)) for line in whole_lines(file)]


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line.decode())
    except ValueError:  # Half a character is one, too.
        return False
    return True
