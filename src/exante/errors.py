"""What a user can do wrong: every message says what, where and how to fix it.

Nothing below the command line catches these; nothing but a message ever leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_NAMES, _LONGEST_NAME = 12, 40


class ExanteError(Exception):
    """Root of all errors meant for a person; its text is the whole message."""

    exit_code = 1

    def __init__(self, problem: str, *, where: str | None = None, fix: str | None = None) -> None:
        """Join `where: problem` and, on a second line, the way out."""
        self.problem = problem
        self.where = where
        self.fix = fix
        text = f"{where}: {problem}" if where else problem
        super().__init__(f"{text}\n  fix: {fix}" if fix else text)


class InputError(ExanteError):
    """A file, setting or argument of the user cannot be used (exit code 2)."""

    exit_code = 2


class ArtefactError(InputError):
    """A run folder holds something else than what was asked for (exit code 2)."""


class RunError(ExanteError):
    """Work that started could not be finished; what was finished is kept (exit code 1)."""


def unknown_name(
    kind: str, name: str, known: Iterable[str], *, where: str | None = None
) -> InputError:
    """The error for a name that is in no table: lists the known ones, nearest first."""
    return InputError(f"unknown {kind} {name!r:.80}", where=where, fix=nearest(name, known))


def nearest(name: str, known: Iterable[str]) -> str:
    """The way out of a name that does not exist: the one that was perhaps meant, and all."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}known: {', '.join(names)}"


def listed(names: Iterable[object]) -> str:
    """Names of a user's own, of which there may be thousands: the first ones, and how many more."""
    shown = [str(name) for name in names]
    more = f", and {len(shown) - _MOST_NAMES} more" if len(shown) > _MOST_NAMES else ""
    return ", ".join(name[:_LONGEST_NAME] for name in shown[:_MOST_NAMES]) + more


def fault_in(error: ValidationError) -> str:
    """The first thing that does not fit, as `field: what is wrong`."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    return f"{field}: {said(first['msg'])}" if field else said(first["msg"])


def said(message: str) -> str:
    """A message of pydantic as a person would say it."""
    text = message.removeprefix("Value error, ")
    return "no such field" if text == "Extra inputs are not permitted" else text
