"""The command line in this process: imports are heavy, and there are hundreds of cases."""

from __future__ import annotations

import os
import shlex
import sys
from typing import NamedTuple

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


def exante(words: str, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> Done:
    """Run `exante` with the words; what would be a traceback is raised here."""
    patch.setattr(sys, "argv", ["exante", *shlex.split(words)])
    patch.setenv("EXANTE_TRACEBACK", "1")
    patch.setenv("COLUMNS", "200")
    capture.readouterr()
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        # `--servers` leaves its file to child processes.
        os.environ.pop(SERVERS, None)
    printed, said = capture.readouterr()
    return Done(code, said, printed)
