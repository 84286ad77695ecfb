"""Rows of other tools, written as one file of ours or of theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exante.errors import InputError
from exante.formats.base import Preference
from exante.formats.write import Target, written
from exante.records import write_lines
from exante.stages.collect import collected
from exante.stages.dataset import DataSet, all_examples
from exante.stages.overlap import untouched


def converted(
    found: Sequence[DataSet],
    output: Path,
    target: Target,
    prefers: Preference,
    *,
    without: Sequence[str],
) -> dict[str, Any]:
    """Write all rows to one file; what was written, and what was left out for which reason.

    Raises:
        InputError: nothing can be written that way.
    """
    examples = all_examples(found)
    # Rows that an evaluation leaves out by default may be asked for all the same.
    suites = collected(without, keep=("copyright",))
    kept = untouched(examples, [e for suite in suites for e in suite.examples])
    made = written(kept, target, prefers)
    if len(kept) < len(examples):
        made.left["near-duplicates of a suite's prompts"] = len(examples) - len(kept)
    if not made.rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in made.left.items())
        raise InputError(
            f"nothing can be written as {made.type} ({reasons})",
            where=f"--to {target}",
            fix="choose another target, or --prefers safer",
        )
    write_lines(output, (json.dumps(row, ensure_ascii=False) for row in made.rows))
    counts = {"type": made.type, "rows": len(made.rows), "left_out": dict(made.left)}
    return {"output": str(output), **counts}
