"""Where a training is watched while it runs: TensorBoard, Weights & Biases, trackio.

Who watches is no setting of a stage: it changes no result and must not enter a fingerprint.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlsplit

from exante.errors import InputError, unknown_name

TRACKERS = {"tensorboard": "exante[trackers]", "wandb": "exante[trackers]", "trackio": "trackio"}
"""Names, as the Trainer's `report_to` knows them and as they are imported, to what to install."""


@dataclass(frozen=True, slots=True)
class _Watch:
    names: tuple[str, ...]
    folder: Path


_WATCH: ContextVar[_Watch | None] = ContextVar("watch", default=None)


def tracker_names(text: str) -> tuple[str, ...]:
    """The trackers of a text with commas between them, all of them installed.

    Raises:
        InputError: one is unknown, or not installed.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in TRACKERS:
            raise unknown_name("tracker", name, TRACKERS, where="--report-to")
        if find_spec(name) is None:
            raise InputError(
                f"{name} is not installed",
                where="--report-to",
                fix=f"pip install '{TRACKERS[name]}'",
            )
    if "wandb" in names and not _knows_wandb():
        raise InputError(
            "not logged in to Weights & Biases",
            where="--report-to",
            fix="wandb login, or export WANDB_MODE=offline",
        )
    return names


@contextmanager
def watching(names: Sequence[str], folder: Path) -> Iterator[None]:
    """Within, trainings report to these trackers; what they write on disk goes below `folder`."""
    before = _WATCH.set(_Watch(tuple(names), folder) if names else None)
    try:
        yield
    finally:
        _WATCH.reset(before)


@contextmanager
def watched(training: Path) -> Iterator[tuple[list[str], str]]:
    """For one training: the trackers, and its name there, the step that `training` is made for."""
    watch = _WATCH.get()
    if watch is None:
        yield [], ""
        return
    # A step at work has its fingerprint in the name of its folder.
    name = training.name.removesuffix(".partial").rpartition(".")[0] or training.name
    folder = watch.folder / name
    watch.folder.mkdir(parents=True, exist_ok=True)
    # wandb keeps to the first folder that it hears of.
    places = {"TENSORBOARD_LOGGING_DIR": str(folder), "WANDB_DIR": str(watch.folder)}
    with _environment({"WANDB_PROJECT": "exante", **os.environ, **places}):
        try:
            yield list(watch.names), f"{watch.folder.parent.name}/{name}"
        finally:
            _end_run()


def _knows_wandb() -> bool:
    """Is there a key, or none needed? Asked before a run, for wandb asks in the middle of it."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return True
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False


def _end_run() -> None:
    """The next training is a run of its own; the Trainer would go on in this one."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and getattr(wandb, "run", None) is not None:
        wandb.finish()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The trackers read their settings from the environment only."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
