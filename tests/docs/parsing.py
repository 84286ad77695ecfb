"""Commands held against the real command line, without doing anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer.main

from exante.cli import app

_ROOT: Any = typer.main.get_command(app)


def check(words: Sequence[str]) -> None:
    """Every command, option and argument exists, and each value has its type.

    Raises:
        click's UsageError, as typer holds it: one does not.
    """
    command, context = _ROOT, _ROOT.make_context("exante", list(words))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, command, more = command.resolve_command(context, rest)
        context = command.make_context(name, more, parent=context)


def leaves(command: Any = _ROOT, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """All commands by their words; groups that do something alone are among them."""
    found: dict[tuple[str, ...], Any] = {path: command} if path else {}
    for name, inner in getattr(command, "commands", {}).items():
        found |= leaves(inner, (*path, name))
    return found
