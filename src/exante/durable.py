"""Files and folders that are there whole or not at all, also after a kill or a power cut.

What counts is the order: the content reaches the disk before the name does. What a kill leaves half
written bears a name that nobody reads (`*.tmp`). Nothing here knows what is written.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from exante.errors import InputError

UNFINISHED = ".tmp"
"""End of the name of a file that is being written."""
CHECKPOINTS = "checkpoints"
"""Folder from which killed work goes on; what is finished has none."""
_OF_SAFETENSORS = ".tmp*"
"""Names of weights that are being written: `.tmp` and six letters."""
_THEIRS = (
    *(errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM),
    *(errno.EROFS, errno.ENAMETOOLONG),
)
"""What a user can mend; a full disk and a broken one stay what they are."""


@contextmanager
def replaced(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file to write, which takes the place of `path` when it is whole.

    After an error `path` is what it was before, or absent.

    Raises:
        InputError: there is no such folder, or nothing can be written there.
    """
    with _new_file(path, mode) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole."""
    with replaced(path) as file:
        file.write(text)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content whole."""
    with source.open("rb") as content, replaced(target, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


@contextmanager
def new_folder(target: Path, *, over: bool = False) -> Iterator[Path]:
    """A folder to fill, which gets the name of `target` when it is whole.

    `target` may be there if it is empty. With `over` what it holds gives way, by two renames; a
    kill between them leaves it under the name `*.former.tmp` until the next try. What an
    interrupted try left is begun anew.

    Raises:
        InputError: `target` holds something, or nothing can be written there.
    """
    partial = target.with_name(f"{target.name}{UNFINISHED}")
    former = target.with_name(f"{target.name}.former{UNFINISHED}")
    with _mendable(target):
        if not over and target.exists() and any(target.iterdir()):
            raise InputError(
                "holds something already", where=str(target), fix="choose another folder"
            )
        if former.exists() and not target.exists():
            former.replace(target)  # The last try ended between the two renames.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    yield partial
    if over and target.exists():
        shutil.rmtree(former, ignore_errors=True)
        target.replace(former)
    put_in_place(partial, target)
    shutil.rmtree(former, ignore_errors=True)


def put_in_place(finished: Path, target: Path) -> None:
    """Give a finished file or folder its name; everything in it is on the disk before.

    Who may read a folder may read the weights in it: safetensors writes them for the owner alone.
    """
    if finished.is_dir():
        usual = finished.stat().st_mode & 0o666
        for weights in finished.rglob("*.safetensors"):
            weights.chmod(usual)
        sync_tree(finished)
    else:
        _sync(finished)
    finished.replace(target)
    sync_folder(target.parent)


def sync_tree(folder: Path) -> None:
    """Return when all files of a folder are on the disk, and their names."""
    for place, _, names in os.walk(folder, topdown=False):
        for path in (Path(place) / name for name in names):
            # A link's target is somebody else's; the link itself stands in its folder.
            if not path.is_symlink():
                _sync(path)
        sync_folder(Path(place))


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    _sync(folder, os.O_DIRECTORY)


def drop_unfinished(folder: Path) -> None:
    """Remove what interrupted processes left half written in a folder and below."""
    for pattern in (f"*{UNFINISHED}", _OF_SAFETENSORS):
        for path in list(folder.rglob(pattern)):
            if path.is_file() or path.is_symlink():
                path.unlink(missing_ok=True)


def _new_file(path: Path, mode: str) -> IO[Any]:
    """The file beside `path` that takes its place in the end."""
    with _mendable(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
        temporary = path.with_name(path.name + UNFINISHED)
        file = temporary.open(mode, encoding=encoding, newline=newline)
    return file


@contextmanager
def _mendable(path: Path) -> Iterator[None]:
    """Within, what keeps a user from writing to `path` is an InputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _THEIRS:
            raise
        raise InputError(
            f"cannot be written: {error.strerror}",
            where=str(path),
            fix="choose a place in a folder that is there and that you may write to",
        ) from None


def _sync(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
