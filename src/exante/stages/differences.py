"""What differs between two runs: settings and inputs by their stamps, content down to a row.

Reads both folders and writes nothing. Measured times differ between any two runs, so artefacts that
hold them are named and not compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from filecmp import cmp
from graphlib import TopologicalSorter
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, Literal

from safetensors import SafetensorError, safe_open

from exante.errors import InputError
from exante.records import Record
from exante.stages.base import MODEL_POINTER, STAMP
from exante.stages.contents import files_of
from exante.stages.runs import stamps_of

Kind = Literal["settings", "inputs", "content", "missing"]
Side = Literal["left", "right"]
_TIMED = ("latency", "report", "contest")
"""Stages whose artefacts hold measured times."""
_TOLD = ("stage", "version", "config", "outside")
"""Parts of a stamp that decide the content, besides the inputs."""
_OF_THE_RUN = ("started", "seconds", "number")
"""Parts of a record that tell of the run, not of the machine."""
_TIMES = {"seconds", "train_runtime"}
_SHOWN = 60
_NOTHING = object()


class Change(Record):
    """One place where two runs differ."""

    place: str
    """Field of a stamp, or `file:line: field`."""
    left: str
    right: str
    """Both as JSON, cut where they are long."""


class StepDifference(Record):
    """How one step differs."""

    step: str
    stage: str
    kind: Kind
    """`settings`: it was asked for something else. `inputs`: it stands on a step that differs.
    `content`: asked for the same, and another result. `missing`: one run does not have it."""
    changes: tuple[Change, ...] = ()
    """Settings that differ, and the first difference of each file."""
    made_with: tuple[Change, ...] = ()
    """Where both were asked for the same: threads, kernels, device and versions that differ."""
    missing_in: Side | None = None


class RunDifference(Record):
    """All steps that differ, in the order in which they were made."""

    left: str
    right: str
    same: int
    """Steps without any difference."""
    steps: tuple[StepDifference, ...]
    not_compared: tuple[str, ...]
    """Steps whose artefacts hold measured times."""


def differences(left: Path, right: Path) -> RunDifference:
    """Compare two run folders, or two folders of single steps.

    Raises:
        InputError: one of them holds no finished step.
    """
    ours, theirs = _steps_of(left), _steps_of(right)
    if len(ours) == len(theirs) == 1:
        # Two single steps are compared whatever they are called.
        theirs = dict(zip(ours, theirs.values(), strict=True))
    found: list[StepDifference] = []
    timed: list[str] = []
    for step in _in_order(ours, theirs):
        if step in ours and step in theirs:
            difference = _of_step(step, ours[step], theirs[step])
        else:
            _, stamp = ours.get(step) or theirs[step]
            side: Side = "right" if step in ours else "left"
            difference = StepDifference(
                step=step, stage=stamp["stage"], kind="missing", missing_in=side
            )
        if difference is not None:
            found.append(difference)
        elif ours[step][1]["stage"] in _TIMED:
            timed.append(step)
    return RunDifference(
        left=str(left),
        right=str(right),
        same=len({*ours, *theirs}) - len(found) - len(timed),
        steps=tuple(found),
        not_compared=tuple(timed),
    )


_Step = tuple[Path, dict[str, Any]]


def _steps_of(run: Path) -> dict[str, _Step]:
    """Folder and stamp of each finished step, by name."""
    where, run = str(run), run.resolve()  # The folder around `.` has another name.
    stamps = stamps_of(run) if not (run / STAMP).is_file() else stamps_of(run.parent)
    found = {
        path.name: (path, stamp)
        for path, stamp in stamps.items()
        if path == run or path.parent == run
    }
    if not found:
        raise InputError(
            "holds no finished step", where=where, fix="give the folder of a run, or of a step"
        )
    return found


def _in_order(ours: Mapping[str, _Step], theirs: Mapping[str, _Step]) -> list[str]:
    """Names as they were made, a step behind all that it reads; what only one run has goes last."""
    both = [name for name in _by_clock(ours) if name in theirs]
    owners = {str(ours[name][1]["fingerprint"]): name for name in both}
    graph: TopologicalSorter[str] = TopologicalSorter()
    for name in both:
        roles = ours[name][1].get("inputs", {}).values()
        read = (fingerprint for labels in roles for fingerprint in labels.values())
        graph.add(name, *(owners[key] for key in read if owners.get(key, name) != name))
    alone = [name for steps in (ours, theirs) for name in _by_clock(steps) if name not in both]
    return [*graph.static_order(), *alone]


def _by_clock(steps: Mapping[str, _Step]) -> list[str]:
    """For a reader: what came first where no input tells it, if the clock was right."""
    return sorted(steps, key=lambda name: str(steps[name][1].get("record", {}).get("started", "")))


def _of_step(name: str, left: _Step, right: _Step) -> StepDifference | None:
    (here, ours), (there, theirs) = left, right
    settings = [
        change for part in _TOLD for change in _changes(ours.get(part), theirs.get(part), part)
    ]
    kind: Kind = "content"
    if settings:
        kind = "settings"
    elif ours.get("inputs") != theirs.get("inputs"):
        kind = "inputs"
    content: list[Change] = [] if ours["stage"] in _TIMED else list(_content(here, there))
    if kind == "content" and not content:
        return None
    apart = _changes(_machine_of(ours), _machine_of(theirs), "")
    return StepDifference(
        step=name,
        stage=ours["stage"],
        kind=kind,
        changes=(*settings, *content),
        made_with=tuple(apart) if kind == "content" else (),
    )


def _machine_of(stamp: Mapping[str, Any]) -> dict[str, Any]:
    """What computed a step, as its stamp records it."""
    return {k: v for k, v in stamp.get("record", {}).items() if k not in _OF_THE_RUN}


def _content(left: Path, right: Path) -> Iterator[Change]:
    """The first difference of every file, stamps and measured times left out."""
    names = sorted({*_files(left), *_files(right)})
    for name in names:
        ours, theirs = left / name, right / name
        if not (ours.is_file() and theirs.is_file()):
            yield Change(place=name, left=_there(ours.is_file()), right=_there(theirs.is_file()))
        elif not cmp(ours, theirs, shallow=False):
            first = next(_of_files(ours, theirs, name), None)
            if first is not None:
                yield first


def _files(folder: Path) -> Iterator[str]:
    # Where a model lies outside a run is no difference; its weights stand in the stamp.
    return (name for name, _, _ in files_of(folder) if Path(name).name != MODEL_POINTER)


def _of_files(left: Path, right: Path, name: str) -> Iterator[Change]:
    if left.suffix == ".safetensors":
        yield from _of_tensors(left, right, name)
        return
    if left.suffix == ".jsonl":
        with _opened(left) as ours, _opened(right) as theirs:
            for line, (one, other) in enumerate(zip_longest(ours, theirs), start=1):
                if one != other:
                    yield from _changes(_parsed(one), _parsed(other), f"{name}:{line}")
        return
    if left.suffix == ".json":
        with _opened(left) as ours, _opened(right) as theirs:
            yield from _changes(_parsed(ours.read()), _parsed(theirs.read()), name)
        return
    yield Change(place=name, left=_size(left), right=_size(right))


def _opened(path: Path) -> IO[str]:
    """The text of a file; bytes of a damaged one that are none stand there as numbers."""
    return path.open(encoding="utf-8", errors="backslashreplace")


def _of_tensors(left: Path, right: Path, name: str) -> Iterator[Change]:
    """How far apart the first tensor that differs is, and how many do."""
    try:
        with safe_open(left, "pt") as ours, safe_open(right, "pt") as theirs:
            names = sorted({*ours.keys(), *theirs.keys()})
            apart = [key for key in names if not _equal(_tensor(ours, key), _tensor(theirs, key))]
            if not apart:
                return  # Only their order in the file, or notes in its head.
            one, other = _tensor(ours, apart[0]), _tensor(theirs, apart[0])
    except SafetensorError as error:
        yield Change(place=name, left=f"one cannot be read: {error}", right="")
        return
    place = f"{name}: {len(apart)} of {len(names)} tensors, first {apart[0]}"
    if one is not None and other is not None and one.shape == other.shape:
        place += f", at most {float((one.double() - other.double()).abs().max()):.2g} apart"
    yield Change(place=place, left=_described(one), right=_described(other))


def _tensor(file: Any, key: str) -> Any:
    return file.get_tensor(key) if key in set(file.keys()) else None


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None or (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return bool((one == other).all())


def _described(tensor: Any) -> str:
    if tensor is None:
        return "missing"
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _changes(left: Any, right: Any, place: str) -> Iterator[Change]:
    """All leaves in which two values differ; times are passed over."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in dict.fromkeys((*left, *right)):
            if key not in _TIMES:
                inner = f"{place}.{key}" if place else key
                yield from _changes(left.get(key, _NOTHING), right.get(key, _NOTHING), inner)
    elif _both_lists(left, right):
        for number, (one, other) in enumerate(zip_longest(left, right, fillvalue=_NOTHING)):
            yield from _changes(one, other, f"{place}.{number}")
    elif left != right or type(left) is not type(right):
        yield Change(place=place, left=_shown(left), right=_shown(right))


def _both_lists(left: Any, right: Any) -> bool:
    return (
        isinstance(left, Sequence)
        and isinstance(right, Sequence)
        and not (isinstance(left, str) or isinstance(right, str))
    )


def _parsed(text: str | None) -> Any:
    """The value of a JSON text, the text itself where it is none."""
    if text is None:
        return _NOTHING
    try:
        return json.loads(text)
    except ValueError:
        return text


def _shown(value: Any) -> str:
    """A value in one short line that a terminal can print."""
    if value is _NOTHING:
        return "missing"
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _there(present: bool) -> str:
    return "there" if present else "missing"


def _size(path: Path) -> str:
    return f"{path.stat().st_size} bytes"
