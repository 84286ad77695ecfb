"""All that the command line prints: no text from outside acts on a terminal, and no key is shown.

Prompts, answers, names, rows and errors of others are data. What they hold of control characters is
made visible, rich markup in them is text, and secrets are left out. Other modules of the command
line print by these functions only.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
import warnings
from contextlib import suppress
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from exante.quoting import redacted, visible

_SECRET_NAME = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_LEAST_SECRET = 8
"""Letters of a secret; shorter values (`none`, `EMPTY`) are words that servers ask for."""


def shown(value: object) -> str:
    """The value as it may be printed."""
    return redacted(visible(str(value)), _secrets())


def echo(value: object = "", *, err: bool = False, nl: bool = True, fg: str | None = None) -> None:
    """Print a line to stdout, or to stderr."""
    typer.secho(shown(value), err=err, nl=nl, fg=fg)


class Screen(Console):
    """A rich console on which strings are text: no markup, no emoji names, nothing that acts."""

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        """Of stdout, or of stderr."""
        super().__init__(stderr=stderr, quiet=quiet, markup=False, highlight=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that is printed comes by here, also from cells of tables."""
        return super().render_str(shown(text), **options)


def words(text: object, style: str = "") -> Text:
    """Text in a style, for a screen or a cell of a table."""
    return Text(shown(text), style=style)


def guard_streams() -> None:
    """From here on, log lines and warnings of all libraries are shown like our own."""
    make_record = logging.getLogRecordFactory()

    def guarded(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make_record(*arguments, **options)
        # What is wrong with a line that cannot be put together is for logging to say.
        with suppress(TypeError, ValueError):
            record.msg, record.args = shown(record.getMessage()), ()
        return record

    logging.setLogRecordFactory(guarded)
    as_it_was = warnings.formatwarning
    warnings.formatwarning = lambda *a, **k: shown(as_it_was(*a, **k))


def tell_bug(error: BaseException) -> None:
    """Print what nobody foresaw, with its traceback; its message may quote a file or a server."""
    echo("".join(traceback.format_exception(error)), err=True, nl=False)


def _secrets() -> list[str]:
    """Values of environment variables that are named like secrets, longest first."""
    found = {
        value.strip()
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name) and len(value.strip()) >= _LEAST_SECRET
    }
    return sorted(found, key=len, reverse=True)
