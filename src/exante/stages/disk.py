"""What a full, broken or unwritable disk raises, as messages."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exante.errors import ExanteError, InputError, RunError


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn what a full or unwritable disk raises into a message; leave everything else alone.

    Raises:
        RunError: the disk is full or fails, or a file grows beyond a limit.
        InputError: the folder cannot be written, or a file elsewhere may not be read.
    """
    try:
        yield
    except ExanteError:
        raise
    except Exception as error:
        problem = _BROKEN.get(getattr(error, "errno", None) or 0)
        if problem is not None:
            raise RunError(f"{problem[0]}: {error}", where=str(where), fix=problem[1]) from error
        if isinstance(error, PermissionError) and _is_elsewhere(error, where):
            raise InputError(
                "permission denied", where=str(error.filename), fix="make it readable for you"
            ) from error
        if isinstance(error, PermissionError) or getattr(error, "errno", 0) == errno.EROFS:
            raise InputError(
                f"cannot be written: {error}", where=str(where), fix="choose another --output"
            ) from error
        if isinstance(error, NotADirectoryError | FileExistsError):
            raise InputError(
                "is in the way: not a folder", where=str(where), fix="choose another --output"
            ) from error
        if _disk_full(error, where):
            raise RunError(
                "the disk is full",
                where=str(where),
                fix="free some space and give the same command again; finished steps are kept",
            ) from error
        raise


def _is_elsewhere(error: OSError, where: Path) -> bool:
    """Does an error name a file that is neither in the run of `where` nor on the way to it?"""
    if not isinstance(error.filename, str | Path):
        return False
    file, run = Path(error.filename).resolve(), where.resolve().parent
    return not (file.is_relative_to(run) or run.is_relative_to(file))


_BROKEN = {
    errno.EFBIG: (
        "a file may not be that large",
        "raise the limit (ulimit -f), and go on as before",
    ),
    errno.EIO: (
        "the disk fails",
        "move the folder to another disk; the same command continues there",
    ),
}
"""What else a disk refuses, in words, and what to do."""


def _disk_full(error: BaseException, where: Path) -> bool:
    """Writers of weights hide ENOSPC in errors of their own, so text and disk are asked too."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    if any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):
        return True
    folder = next((p for p in (where, *where.parents) if p.exists()), Path("/"))
    return isinstance(error, OSError | RuntimeError) and shutil.disk_usage(folder).free < 1 << 16
