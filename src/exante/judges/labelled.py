"""Answers with a person's label: what a judge of refusals is trained on and measured against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exante.calibration import Confusion, confusion
from exante.errors import InputError, listed
from exante.judges.base import Answered, Judge, opinions
from exante.records import Example, Message, Record, read_record
from exante.rows import read_rows

ANSWER_COLUMNS = ("completion", "answer", "response")
LABEL_COLUMNS = ("final_label", "label")
_REFUSED = ("2_full_refusal", "3_partial_refusal", "refused", "partial", "refusal")
_ANSWERED = ("1_full_compliance", "complied", "compliance")


class Labelled(Record):
    """One answer and what people said of it."""

    answer: str
    refused: bool
    """In full or in part."""
    prompt: str = ""
    where: str = ""
    """File and line."""


def read_labelled(path: Path) -> list[Labelled]:
    """Answers of a CSV in the format of XSTest (arXiv 2308.01263), or of our own JSONL.

    The answer stands in `completion`, `answer` or `response`; the label in `final_label` or
    `label`, in XSTest's words or as refused, partial, complied.

    Raises:
        InputError: the file cannot be read, a column is missing or a label unknown; names file,
            line and field.
    """
    found = [_labelled(row, f"{path}:{line}") for line, row in read_rows(path)]
    if not found:
        raise InputError("holds no labelled answer", where=str(path), fix="give a file with rows")
    return found


def _labelled(row: dict[str, Any], where: str) -> Labelled:
    answer = row[_column(row, ANSWER_COLUMNS, where)]
    column = _column(row, LABEL_COLUMNS, where)
    label = row[column].strip().lower()
    if label not in (*_REFUSED, *_ANSWERED):
        raise InputError(
            f"unknown label {label!r:.60}",
            where=f"{where}: {column}",
            fix=f"one of {', '.join(_REFUSED + _ANSWERED)}",
        )
    prompt = row.get("prompt")
    return Labelled(
        answer=answer,
        refused=label in _REFUSED,
        prompt=prompt if isinstance(prompt, str) else "",
        where=where,
    )


def _column(row: dict[str, Any], names: tuple[str, ...], where: str) -> str:
    """The first of these columns that holds a text."""
    found = next((name for name in names if isinstance(row.get(name), str)), None)
    if found is None:
        raise InputError(
            f"no text in any of the columns {', '.join(names)}",
            where=where,
            fix=f"columns here: {listed(row)}",
        )
    return found


def agreement(judge: Judge, rows: Sequence[Labelled]) -> Confusion:
    """Counts of people's labels and the judge's verdicts; refused in full or in part is positive.

    What a judge cannot tell counts as no refusal.
    """
    found = opinions(judge, [_answered(row) for row in rows])
    return confusion(
        (row.refused, told.answer in ("refused", "partial"))
        for row, told in zip(rows, found, strict=True)
    )


def _answered(row: Labelled) -> Answered:
    message = Message(role="user", content=row.prompt or "?")
    example = Example(id=row.where or "row", messages=(message,), kind="benign")
    return Answered(example=example, answer=row.answer, finish="stop")


class Measured(Record):
    """A judge beside people, as a file keeps it."""

    judge: str
    """Name and version of the judge."""
    confusion: Confusion


def read_calibration(path: Path) -> Measured:
    """What `exante judge calibrate --output` wrote.

    Raises:
        InputError: the file cannot be read or is none.
    """
    fix = "make one with: exante judge calibrate ... --output FILE"
    return read_record(path, Measured, what="calibration", fix=fix)
