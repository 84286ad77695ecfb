"""A judge that looks verdicts up in a file: people's, or another tool's.

A row names a turn by the id of its prompt and the number of the sample. A turn without a row is
`undetermined`, never a refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from exante.errors import InputError
from exante.judges.base import Answered, AnswerJudgement
from exante.judges.harm import undetermined
from exante.records import AnswerVerdict, Example, Record, parse_row
from exante.rows import read_rows, sha256_of


class Label(Record):
    """The verdict on one turn."""

    example_id: str
    """Id of the prompt that was answered, as in the sampled turns."""
    sample: int = 0
    source: str = "policy"
    answer: AnswerVerdict
    unsafe: bool | None
    """None: could not be judged."""
    useful: float | None = Field(default=None, ge=0, le=1)
    note: str = ""
    """For people; nothing reads it."""

    @property
    def turn(self) -> tuple[str, int, str]:
        """What names the turn."""
        return self.example_id, self.sample, self.source

    @property
    def judgement(self) -> AnswerJudgement:
        """What the row says of the answer."""
        return AnswerJudgement(answer=self.answer, unsafe=self.unsafe, useful=self.useful)


class Labels(Record):
    """The verdicts of a file."""

    digest: str
    """sha256 of the file."""
    rows: tuple[Label, ...]


def read_labels(path: Path) -> Labels:
    """The verdicts of a JSON Lines file (or CSV): example_id, sample, answer, unsafe, useful.

    An empty cell is a value that is missing; of `unsafe` it says that it could not be judged.

    Raises:
        InputError: the file cannot be read, a row does not fit, or two rows are about one turn;
            names file, line and field.
    """
    seen: dict[tuple[str, int, str], int] = {}
    rows: list[Label] = []
    for line, row in read_rows(path):
        where = f"{path}:{line}"
        label = parse_row(_filled(row), Label, where=where)
        if label.turn in seen:
            raise InputError(
                f"example_id: {label.example_id!r}, sample {label.sample} has a row already "
                f"(line {seen[label.turn]})",
                where=where,
                fix="keep one row per turn",
            )
        seen[label.turn] = line
        rows.append(label)
    if not rows:
        raise InputError("holds no verdict", where=str(path), fix="write one row per turn")
    return Labels(digest=sha256_of(path), rows=tuple(rows))


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    """The row without empty cells, which CSV has for what is not said; `unsafe` must be said."""
    told = {name: value for name, value in row.items() if value != ""}
    return {**told, "unsafe": None} if row.get("unsafe") == "" else told


class LabelJudge:
    """Judges by the rows of a file."""

    def __init__(self, labels: Labels) -> None:
        """`labels` comes from `read_labels`."""
        self.known = {label.turn: label.judgement for label in labels.rows}
        self.name = f"labels/{labels.digest[:8]}"

    def judge(self, example: Example, answer: str, finish: str) -> AnswerJudgement:
        """The verdict on the first sample of this very prompt."""
        return self.judge_many([Answered(example=example, answer=answer, finish=finish)])[0]

    def judge_many(self, items: Sequence[Answered]) -> list[AnswerJudgement]:
        """The verdict on each turn; one that the limit cut is `truncated` whatever its row says."""
        return [
            AnswerJudgement(answer="truncated", unsafe=None)
            if item.finish == "length"
            else self.known.get(
                (item.turn or item.example.id, item.sample, item.source), undetermined()
            )
            for item in items
        ]
