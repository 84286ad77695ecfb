"""Every target under Atheris, each in a fork of one process that has imported what is watched.

    python -m tests.fuzz.worker JOBS.json

The file holds, for each target, its name, the options of libFuzzer, and where its log goes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import atheris

_WATCHED = (
    "exante.documents",
    "exante.drafts",
    "exante.formats",
    "exante.judges",
    "exante.models.replies",
    "exante.models.servers",
    "exante.pages.results",
    "exante.recipes",
    "exante.records",
    "exante.rows",
    "exante.rules",
    "exante.serving",
    "exante.stages.mix",
    "exante.suites",
    "exante.teachers",
    "exante.traces",
    "json",
    "yaml",
)
"""Modules whose branches guide the search."""


def main() -> int:
    """Fuzz one target after another; the number of those on which something was found."""
    with atheris.instrument_imports(include=list(_WATCHED)):
        from tests.fuzz.targets import TARGETS
    runs = {target.name: target for target in TARGETS}
    found = 0
    for job in json.loads(Path(sys.argv[1]).read_text()):
        target = runs[job["name"]]
        for seed in target.seeds:
            # Stages are imported when first named; that is not what is to be timed.
            target.run(seed)
        found += _forked(target.run, job["options"], Path(job["log"]))
    return found


def _forked(run: Callable[[bytes], None], options: Sequence[str], log: Path) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        atheris.Setup(["fuzz", *options], run)
        atheris.Fuzz()  # Ends the process.
    return int(os.waitpid(child, 0)[1] != 0)


if __name__ == "__main__":
    sys.exit(main())
