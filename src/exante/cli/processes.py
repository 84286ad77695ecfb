"""Commands in several processes: how they are started, and which of them speaks."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from exante.cli.terminal import echo
from exante.errors import ExanteError
from exante.models.ranks import ranks

Accelerate = Annotated[
    Path | None,
    typer.Option(
        metavar="CONFIG",
        help="Run in several processes, as this file of `accelerate` says; see docs/scaling.md.",
    ),
]
_OPTION = "--accelerate"
_GRACE_SECONDS = 10.0
"""What all processes meet, the main one says, and its end ends the others within this time."""


def in_processes(config: Path | None) -> None:
    """Where a config is given: this command in those processes instead, to their exit code."""
    if config is None or ranks().count > 1:
        return
    from exante.models.ranks import launch

    raise typer.Exit(launch(config, without_option(sys.argv[1:])))


def without_option(words: Sequence[str]) -> list[str]:
    """The command line without `--accelerate` and its value."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word == _OPTION:
            skip = word == _OPTION and not skip
        elif not word.startswith(f"{_OPTION}="):
            kept.append(word)
    return kept


def say(error: ExanteError) -> None:
    """Print the message: at once if this is the main process, else if that one said nothing."""
    mine = ranks()
    if not mine.main:
        time.sleep(_GRACE_SECONDS)
    who = "" if mine.main else f" (process {mine.number})"
    echo(f"error{who}: {error}", fg="red", err=True)
