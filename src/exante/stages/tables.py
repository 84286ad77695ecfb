"""The prompts of a user's tables, and their splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from exante.errors import InputError
from exante.formats.prompts import own_example, prompt_example
from exante.records import Example, Kind
from exante.rows import read_rows


def table_examples(path: Path, *, column: str | None, kind: Kind | None) -> list[Example]:
    """The prompts of one table; equal prompts share a split group.

    Answers and labels beside them are left where they are; `stages.dataset` reads them.

    Raises:
        InputError: the file cannot be read or a row does not fit; names file, line and field.
    """
    lines: dict[str, int] = {}
    examples: list[Example] = []
    for line, row in read_rows(path):
        if "messages" in row and column is None:
            example = own_example(row, f"{path}:{line}", line, kind)
        else:
            example = prompt_example(path, line, row, column, kind)
        first = lines.setdefault(example.id, line)
        if first != line:
            raise InputError(
                f"id {example.id!r} is also that of line {first}",
                where=f"{path}:{line}: id",
                fix="give every prompt an id of its own, or none",
            )
        examples.append(example)
    return examples


def split_by_group(
    examples: Sequence[Example],
    validation_share: float,
    test_share: float,
    fixed: Mapping[str, str] | None = None,
) -> dict[str, list[Example]]:
    """Examples by split; where `fixed` says nothing, the hash of its group decides."""
    splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for example in examples:
        if fixed and example.split_group in fixed:
            splits[fixed[example.split_group]].append(example)
            continue
        digest = hashlib.sha256(example.split_group.encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        if place < test_share:
            splits["test"].append(example)
        elif place < test_share + validation_share:
            splits["validation"].append(example)
        else:
            splits["train"].append(example)
    return splits
