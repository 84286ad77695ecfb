"""Named things to choose from: one visible table per kind, or `package.module:name` of a user.

Tables hold strings, so that listing what there is imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from exante.errors import ExanteError, InputError, RunError, unknown_name


def load(table: Mapping[str, str], name: str, kind: str) -> Any:
    """The object behind a name of `table`, or behind `package.module:name` anywhere.

    `kind` is the word for it in messages ("judge", "attack", ...).

    Raises:
        InputError: the name is neither known nor importable.
    """
    if name in table:
        return _imported(table[name], kind)
    if ":" in name:
        return _imported(name, kind)
    raise unknown_name(kind, name, table)


def made(table: Mapping[str, str], name: str, kind: str) -> object:
    """What the class or function behind a name makes.

    Raises:
        InputError: as `load`, or it cannot be called without arguments.
    """
    found = load(table, name, kind)
    try:
        return found()
    except TypeError as error:
        raise InputError(
            f"{kind} {name!r} cannot be made: {error}",
            fix="name a class, or a function, that takes no arguments",
        ) from error


@contextmanager
def running(kind: str, name: str) -> Iterator[None]:
    """Inside, whatever a user's own plug-in raises ends as a message, the traceback as its cause.

    Raises:
        RunError: it raised something.
    """
    try:
        yield
    except ExanteError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise broken(kind, f"{kind} {name} failed: {said}") from error


def broken(kind: str, problem: str, *, where: str | None = None) -> RunError:
    """The error for a user's own plug-in that does not do what its kind does."""
    return RunError(problem, where=where, fix=f"mend the {kind}, then give the same command again")


def _imported(address: str, kind: str) -> Any:
    module_name, _, attribute = address.partition(":")
    fix = f"give the {kind} as package.module:name of something importable"
    if not module_name or module_name.startswith("."):
        raise InputError(f"{address!r} names no module for a {kind}", fix=fix)
    try:
        found: Any = import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise InputError(f"{kind} {address!r} cannot be imported: {error}", fix=fix) from error
    except AttributeError:
        raise InputError(f"{module_name} has no {attribute!r} to use as {kind}", fix=fix) from None
    return found
