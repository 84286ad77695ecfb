"""What servers said to a stage: kept reply by reply while it works, and paid for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from exante.records import Record
from exante.speakers import Bill, Said
from exante.stages.base import Summary, Tell
from exante.stages.partial import put, resumed

REPLIES = "replies.partial.jsonl"


class Remembered(Record):
    """A reply, and the hash of what was asked."""

    key: str
    said: Said


class Journal:
    """Replies by what was asked, in a file: a killed stage asks nothing again.

    It is dropped once the stage has written what it made of them.
    """

    def __init__(self, folder: Path, whose: str = "") -> None:
        """Begin with what an interrupted stage had been told.

        A stage that pays several speakers keeps them apart by `whose` replies these are.
        """
        self._path = folder / (f"{whose}.{REPLIES}" if whose else REPLIES)
        self._known = {one.key: one.said for one in resumed(self._path, Remembered)}

    def get(self, key: str) -> Said | None:
        """What was said to that question."""
        return self._known.get(key)

    def put(self, key: str, said: Said) -> None:
        """Append a reply to the file; not even a power cut takes what was paid for."""
        self._known[key] = said
        with self._path.open("a", encoding="utf-8") as file:
            put([Remembered(key=key, said=said)], file)
            os.fsync(file.fileno())

    def all(self) -> Iterable[Said]:
        """Everything that was said, before an interruption, too."""
        return self._known.values()

    def drop(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def foretold(bill: Bill, tell: Tell) -> None:
    """Say what a server may be asked at most, before it is."""
    if bill.requests:
        tell(0, 0, f"at most {bill}")


def paid(bill: Bill, tell: Tell) -> Summary:
    """Say what a server was asked in all; what the stamp of the stage tells of it."""
    if bill.requests:
        tell(0, 0, f"used {bill}")
    return {"server": bill.model_dump()}
