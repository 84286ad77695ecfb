"""Which traces of a run rest on clauses that are not what they were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from exante import traces
from exante.amendments import Amendment
from exante.errors import InputError
from exante.records import Traced, read_jsonl
from exante.stages.reason import TRACED


def citing_traces(changes: Iterable[Amendment], run: Path) -> dict[str, list[str]]:
    """Ids of prompts by the clause that their traces cite, of clauses that changed, moved or went.

    Raises:
        InputError: the run holds no traces.
    """
    files = [path for path in (run / TRACED, *sorted(run.glob(f"*/{TRACED}"))) if path.is_file()]
    if not files:
        raise InputError("holds no traces", where=str(run), fix="give a run with a reason step")
    touched = {one.was or one.id for one in changes if one.change != "added"}
    citing: dict[str, set[str]] = defaultdict(set)
    for turn in (turn for path in files for turn in read_jsonl(path, Traced)):
        trace = traces.parse(turn.text).trace
        for clause in touched.intersection(trace.cited if trace else ()):
            citing[clause].add(turn.example_id)
    return {clause: sorted(citing[clause]) for clause in sorted(citing)}
