"""What is damaged in a run, and how to have it made again: that is set aside, and nothing else.

A folder that bears the name of a step of the run's recipe and has lost its stamp is damaged, too.
Nothing is deleted. A step that was made from a damaged one stays, for it was made before the
damage; should its input come out as something else when it is made again, its own stamp tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from exante.durable import sync_folder
from exante.errors import ArtefactError, InputError
from exante.models.folders import weights_fingerprint
from exante.records import Record
from exante.stages.base import MODEL_POINTER, STAMP, locked, model_of, pointed_at, stamp_of
from exante.stages.contents import damages, listed_in
from exante.stages.runs import stampless
from exante.stages.stamps import finished_steps

ASIDE = "damaged"
"""Folder of a run for steps that were set aside; no step is looked for in it."""
State = Literal["whole", "damaged", "unlisted", "outside"]


class StepState(Record):
    """How one finished step is."""

    step: str
    state: State
    """`unlisted`: made before stamps listed files, so nothing is known. `outside`: whole, but the
    model that it points at is not what it was."""
    because: tuple[str, ...] = ()
    """What is wrong, file by file."""


class RunState(Record):
    """How all steps of a run are."""

    run: str
    steps: tuple[StepState, ...]
    moved: dict[str, str] = {}
    """Steps that were set aside, and where they are now."""

    def of(self, *states: State) -> list[StepState]:
        """The steps in these states."""
        return [step for step in self.steps if step.state in states]


def examined(run: Path) -> RunState:
    """Read every file of every finished step of a run, and the models outside that it points at.

    Raises:
        InputError: it holds no finished step.
    """
    folders = _steps(run)
    if not folders:
        raise InputError("holds no finished step", where=str(run), fix="give the folder of a run")
    now = dict(_now(folders))
    return RunState(run=str(run), steps=tuple(_examined(folder, now) for folder in folders))


def set_aside(run: Path) -> RunState:
    """Examine a run, and move its damaged steps into `damaged/` inside it.

    Raises:
        InputError: it holds no finished step, or another process works in it.
    """
    if not _steps(run):
        return examined(run)  # Which says so; a lock would make a folder of the name.
    with locked(run):
        found = examined(run)
        moved = {step.step: _moved(run / step.step) for step in found.of("damaged")}
    return found.model_copy(update={"moved": {step: str(place) for step, place in moved.items()}})


def _steps(run: Path) -> list[Path]:
    return sorted([*finished_steps(run), *stampless(run)])


def _moved(step: Path) -> Path:
    aside = step.parent / ASIDE
    aside.mkdir(exist_ok=True)
    number = 1
    while (place := aside / f"{step.name}-{number}").exists():
        number += 1
    step.rename(place)
    sync_folder(aside)
    sync_folder(step.parent)
    return place


def _examined(folder: Path, now: Mapping[str, str]) -> StepState:
    state: State = "whole"
    if not (folder / STAMP).is_file():
        return StepState(step=folder.name, state="damaged", because=(f"{STAMP} is missing",))
    try:
        stamp = stamp_of(folder)
        contents = listed_in(stamp)
    except ArtefactError as error:
        return StepState(step=folder.name, state="damaged", because=(error.problem,))
    if contents is None:
        state, because = "unlisted", []
    else:
        because = [str(damage) for damage in damages(folder, contents, thorough=True)]
        because += _other_inputs(stamp, now)
    if because:
        state = "damaged"
    elif because := list(_outside(folder, stamp)):
        state = "outside"
    return StepState(step=folder.name, state=state, because=tuple(because))


def _now(folders: list[Path]) -> Iterator[tuple[str, str]]:
    """What each step came out as, by its fingerprint."""
    for folder in folders:
        try:
            stamp = stamp_of(folder)
        except ArtefactError:
            continue
        if "content" in stamp:
            yield str(stamp["fingerprint"]), str(stamp["content"])


def _other_inputs(stamp: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """Inputs that were made again since, and are others now."""
    return [
        f"was made from another {label}"
        for role, contents in stamp.get("read", {}).items()
        for label, content in contents.items()
        if now.get(stamp["inputs"].get(role, {}).get(label, ""), content) != content
    ]


def _outside(folder: Path, stamp: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the model that a step points at, where that is none of the run's."""
    pointer = folder / MODEL_POINTER
    if not pointer.is_file():
        return
    model, pinned = model_of(folder), stamp.get("outside", {}).get("weights")
    if not pointed_at(pointer).is_absolute():
        return
    if not model.is_dir():
        yield f"the model that it points at is not there: {model}"
    elif pinned is not None and weights_fingerprint(model) != pinned:
        yield f"the model that it points at has other weights now: {model}"
