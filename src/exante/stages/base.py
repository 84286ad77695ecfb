"""What a stage is, and all there is to resuming: a folder that exists is complete.

Work happens in a sibling folder named after the fingerprint of what is being made; one rename puts
it in place. A killed stage finds there what it had written.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from exante.durable import CHECKPOINTS, copy_file, drop_unfinished, put_in_place, sync_tree
from exante.errors import ArtefactError, InputError
from exante.models.machine import machine
from exante.models.ranks import alone, await_path, from_main, ranks, together
from exante.records import write_json
from exante.stages.contents import STAMP as STAMP
from exante.stages.contents import content_hash, contents_of
from exante.stages.disk import disk_errors
from exante.stages.stamps import (
    UNFINISHED,
    content_of,
    finished_steps,
    require_same_content,
    require_whole,
)
from exante.stages.stamps import fingerprint_of as fingerprint_of
from exante.stages.stamps import stamp_of as stamp_of

RECIPE = "recipe.yaml"
LOCK = ".lock"
MODEL = "model"
MODEL_POINTER = "model.json"
SERVER = "server.json"

Tell = Callable[[int, int, str], None]
"""Progress of a stage: done, of how many, and a few words; of 0, words that shall stay."""
Summary = dict[str, Any]


class Config(BaseModel):
    """Base of all stages' settings: immutable, no unknown fields, described in place."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


@dataclass(frozen=True, slots=True)
class Inputs:
    """The folders a stage reads: per role, one or several, each under a label."""

    folders: Mapping[str, Mapping[str, Path]]

    def one(self, role: str) -> Path:
        """The only folder of a role.

        Raises:
            InputError: there are several, or none.
        """
        folders = self.many(role)
        if len(folders) != 1:
            raise InputError(
                f"one step is needed for {role}, not {len(folders)}",
                fix=f"name one of {', '.join(folders)}" if folders else f"name a step for {role}",
            )
        return next(iter(folders.values()))

    def optional(self, role: str) -> Path | None:
        """The only folder of a role, if there is one."""
        return self.one(role) if self.folders.get(role) else None

    def many(self, role: str) -> Mapping[str, Path]:
        """All folders of a role by label."""
        return self.folders.get(role, {})


@dataclass(frozen=True, slots=True)
class Stage:
    """One verb: typed settings, named inputs, one function that fills a folder."""

    name: str
    version: int
    """Raised by hand when the same settings would give another result."""
    config: type[Config]
    run: Callable[[Any, Inputs, Path, Tell], Summary]
    """Fills a folder. What it puts into `checkpoints` there is for a killed stage to go on from,
    and removed when the stage is finished."""
    reads: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    """Roles that may be missing."""
    identity: Callable[[Any], dict[str, Any]] = field(default=lambda _: {})
    """What outside things add to the fingerprint, such as the sha256 of a file."""
    parallel: Callable[[Any], bool] = lambda _: False
    """With these settings, can several processes run it together? Else the main one does. Where
    they can, the folder is common to all, and only the main process writes what the stage leaves.
    """
    renewed: bool = False
    """Where settings or inputs have changed: made anew instead of refused. For what only tells of
    other steps, and is soon made.
    """


def in_parallel(_: Any) -> bool:
    """For stages that several processes can always run together."""
    return True


def perform(stage: Stage, config: Config, inputs: Inputs, out: Path, tell: Tell) -> Path:
    """Fill `out` unless it already holds this very result; a `renewed` stage's older one gives way.

    Of several processes all return when the folder is there; only the main one stamps and renames.

    Raises:
        ArtefactError: `out` holds something else, or it or an input is damaged or no artefact;
            nothing is lost.
        RunError: the disk is full or cannot be written; what was finished stays.
    """
    identity = from_main(lambda: _identity(stage, config, inputs))
    fingerprint = _hash(identity)
    if from_main(out.exists) and not from_main(lambda: _is_outdated(out, stage, fingerprint)):
        _require_same(out, fingerprint, identity)
        require_whole(out)
        require_same_content(out, inputs.folders)
        return out
    partial = out.with_name(f"{out.name}.{fingerprint[:8]}{UNFINISHED}")
    with disk_errors(partial):
        if not from_main(lambda: _is_made(partial, inputs)):
            clock = _Clock()
            summary = _fill(stage, config, inputs, partial, tell)
            if ranks().main:
                told = {**identity, "fingerprint": fingerprint, "summary": summary}
                _stamp(partial, told, inputs, clock)
        if ranks().main:
            # Not before there is a stamp: reading all files of a large model once takes a while.
            shutil.rmtree(partial / CHECKPOINTS, ignore_errors=True)
            if out.exists():
                shutil.rmtree(out)
            put_in_place(partial, out)
        together()
        await_path(out)
    return out


def _is_outdated(out: Path, stage: Stage, fingerprint: str) -> bool:
    """Is this an older result of the stage, whole as it was made, that gives way to a new one?"""
    stamp = stamp_of(out)
    if not stage.renewed or stamp.get("stage") != stage.name or stamp["fingerprint"] == fingerprint:
        return False
    require_whole(out)
    return True


def _is_made(partial: Path, inputs: Inputs) -> bool:
    """Was this stamped, from the inputs as they are now, and killed before it got its name?"""
    return (partial / STAMP).is_file() and stamp_of(partial)["read"] == content_of(inputs.folders)


def _fill(stage: Stage, config: Config, inputs: Inputs, partial: Path, tell: Tell) -> Summary:
    """Perform the stage, in all processes or in the main one; the others' summary is empty."""
    if ranks().main:
        partial.mkdir(parents=True, exist_ok=True)
    if stage.parallel(config):
        together()
        await_path(partial)
        return stage.run(config, inputs, partial, tell)
    if ranks().main:
        with alone():
            return stage.run(config, inputs, partial, tell)
    return {}


class _Clock:
    """When something began, for a reader, and how long it took, whatever happens to the clock."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self._begun = time.monotonic()

    def read(self) -> dict[str, Any]:
        return {"started": self.started, "seconds": round(time.monotonic() - self._begun, 1)}


def _stamp(partial: Path, told: Mapping[str, Any], inputs: Inputs, clock: _Clock) -> None:
    """Stamp what is finished with all that it consists of, once that is on the disk."""
    # What a kill left half written is nobody's any more.
    drop_unfinished(partial)
    files = contents_of(partial)
    number = 1 + len(finished_steps(partial.parent))
    stamp = {
        **told,
        "files": {name: listed.model_dump() for name, listed in files.items()},
        "content": content_hash(files),
        "read": content_of(inputs.folders),
        "record": {"number": number, **clock.read(), **machine()},
    }
    sync_tree(partial)
    write_json(partial / STAMP, stamp)


def model_of(folder: Path) -> Path:
    """The model folder behind an artefact: its own, or the one it points at.

    Raises:
        ArtefactError: the artefact holds no model.
    """
    if (folder / MODEL).is_dir():
        return folder / MODEL
    pointer = folder / MODEL_POINTER
    if pointer.is_file():
        path = pointed_at(pointer)
        return path if path.is_absolute() else (folder / path).resolve()
    if (folder / SERVER).is_file():
        raise ArtefactError(
            "the model is behind a server, and this step needs its weights",
            where=str(folder),
            fix="leave the step out, or give a folder with the weights",
        )
    raise ArtefactError("holds no model", where=str(folder), fix="name a step that makes one")


def whole_model_of(folder: Path) -> Path:
    """The same, where the step that made the model still has the files it was stamped with.

    Raises:
        ArtefactError: it has not, or there is no model.
    """
    model = model_of(folder)
    if (model.parent / STAMP).is_file():
        require_whole(model.parent)
    return model


def pointed_at(pointer: Path) -> Path:
    """The path in a pointer to a model: absolute, or from the pointer's folder.

    Raises:
        ArtefactError: the file holds none.
    """
    try:
        return Path(json.loads(pointer.read_text(encoding="utf-8"))["path"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise ArtefactError(
            'is no pointer to a model: {"path": "..."}',
            where=str(pointer),
            fix="delete the folder it is in to make it again",
        ) from None


def document_of(folder: Path, name: str, *, fix: str) -> dict[str, Any]:
    """The JSON document that a stage left in its folder; `fix` says which steps have one.

    Raises:
        ArtefactError: the folder is that of another stage.
    """
    path = folder / name
    if not path.is_file():
        raise ArtefactError(f"holds no {name}", where=str(folder), fix=fix)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def point_at(model: Path, folder: Path) -> None:
    """Write a pointer to a model: relative inside a run, so that a run folder can be moved."""
    inside = model.resolve().is_relative_to(folder.resolve().parent)
    path = os.path.relpath(model.resolve(), folder.resolve()) if inside else str(model.resolve())
    write_json(folder / MODEL_POINTER, {"path": path})


def point_as(artefact: Path, folder: Path) -> None:
    """Point at what another artefact points at: a model, or one behind a server."""
    if (artefact / SERVER).is_file():
        copy_file(artefact / SERVER, folder / SERVER)
    else:
        point_at(model_of(artefact), folder)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a run folder; the system lets go when the process ends, however it ends.

    Of several processes of one run, the main one holds it for all.

    Raises:
        InputError: another process works in it, or it cannot be written.
    """
    if not ranks().main:
        yield
        return
    with disk_errors(run):
        run.mkdir(parents=True, exist_ok=True)
        handle = (run / LOCK).open("a+")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "another exante process is working in this folder",
                where=str(run),
                fix="wait for it, or choose another --output",
            ) from None
        yield


def _identity(stage: Stage, config: Config, inputs: Inputs) -> dict[str, Any]:
    missing = [role for role in stage.reads if not inputs.many(role)]
    if missing:
        raise InputError(f"stage {stage.name} needs {', '.join(missing)}", fix="name a step for it")
    return {
        "stage": stage.name,
        "version": stage.version,
        "config": config.model_dump(mode="json"),
        "outside": stage.identity(config),
        "inputs": {
            role: {label: _whole_fingerprint(folder) for label, folder in inputs.many(role).items()}
            for role in (*stage.reads, *stage.optional)
            if inputs.many(role)
        },
    }


def _whole_fingerprint(folder: Path) -> str:
    """The fingerprint of an input that is as it was made, and so is the model it points at."""
    require_whole(folder)
    if (folder / MODEL_POINTER).is_file():
        whole_model_of(folder)
    return fingerprint_of(folder)


def _hash(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _require_same(out: Path, fingerprint: str, identity: Mapping[str, Any]) -> None:
    stamp = stamp_of(out)
    if stamp["fingerprint"] == fingerprint:
        return
    differing = sorted(
        f"{part}.{name}"
        for part in ("config", "outside", "inputs")
        for name in {*stamp.get(part, {}), *identity[part]}
        if stamp.get(part, {}).get(name) != identity[part].get(name)
    )
    what = ", ".join(differing) or "its stage or version"
    raise ArtefactError(
        f"was made with other settings or inputs ({what})",
        where=str(out),
        fix="choose another --output, or delete this folder to make it again",
    )
