"""The command line and Python as tests call them: in this process, or in one of their own.

Importing torch and transformers takes seconds, so that a process of its own is for what is about
processes: kills, exit codes, what is imported, several at once.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from exante.cli import main
from exante.models.servers import SERVERS


class Done(NamedTuple):
    """How a command ended."""

    code: int
    said: str
    """On stderr."""
    printed: str
    """On stdout."""


@contextmanager
def one_command() -> Iterator[None]:
    """Logging and warnings, which `main` sets for the whole process, are as they were afterwards.

    Else every command would wrap them once more, and hundreds are called in one process.
    """
    factory, shown = logging.getLogRecordFactory(), warnings.formatwarning
    try:
        yield
    finally:
        logging.setLogRecordFactory(factory)
        warnings.formatwarning = shown


def exante(words: str, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> Done:
    """Run `exante` with the words in this process; what would be a traceback is raised here."""
    patch.setattr(sys, "argv", ["exante", *shlex.split(words)])
    patch.setenv("EXANTE_TRACEBACK", "1")
    patch.setenv("COLUMNS", "200")
    capture.readouterr()
    code = 0
    try:
        with one_command():
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        # `--servers` leaves its file to child processes.
        os.environ.pop(SERVERS, None)
    printed, said = capture.readouterr()
    return Done(code, said, printed)


def sets(changes: Mapping[str, Any]) -> tuple[str, ...]:
    """Changes of a recipe as words of a command."""
    return tuple(
        word for key, value in changes.items() for word in ("--set", f"{key}={json.dumps(value)}")
    )


def environment(**more: str) -> dict[str, str]:
    """Variables for a process that is to import what this one imports, wherever it starts."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **more}


def python(
    *words: str | Path, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Python brought to its end in a process of its own; what it says is kept as text."""
    command, variables = [sys.executable, *map(str, words)], environment(**more)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=variables
    )
