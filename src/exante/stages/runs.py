"""What a run folder holds, read from the stamps of its steps: its last model, its judged turns.

Names of steps are the recipe's business; it tells which one is its outcome.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from exante import documents
from exante.errors import InputError
from exante.models.adapters import is_adapter
from exante.models.folders import opened_trace, resolve
from exante.stages.base import MODEL, RECIPE, STAMP, model_of, stamp_of, whole_model_of
from exante.stages.decision import decision_of
from exante.stages.stamps import finished_steps, whole_stamp


@dataclass(frozen=True, slots=True)
class JudgedModel:
    """One model's judged turns, as the report of a run reads them."""

    model: str
    """Label in the report."""
    judged: Path
    sampled: Path
    prompts: Path
    second: Path | None = None
    """Another judge's opinion on the same turns."""
    repeated: bool = False
    """Several turns per prompt, for success at k."""


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """All that a finished report stands on."""

    report: Path
    models: tuple[JudgedModel, ...]


def final_model(run: Path) -> Path:
    """The model folder behind a name: itself, or the last model of a run.

    Raises:
        InputError: there is no model, or the step that made it is damaged.
    """
    if (run / "config.json").is_file() or is_adapter(run):
        return run
    if (run / STAMP).is_file():
        return whole_model_of(run)
    made = _outcome(run) or _newest_model(run)
    if made is None:
        raise InputError(
            "holds no model", where=str(run), fix="give a model folder or a finished run"
        )
    return whole_model_of(made)


def model_folder(name: str) -> Path:
    """The model folder behind a name: the last model of a run's folder, else as `resolve` finds it.

    Raises:
        InputError: there is no such model, or the folder holds none.
    """
    folder = Path(name).expanduser()
    return final_model(folder) if folder.is_dir() else resolve(name)


def recipe_of(run: Path) -> dict[str, Any]:
    """The recipe that a run was made by.

    Raises:
        InputError: there is none, or it is no recipe.
    """
    path, fix = run / RECIPE, "give the folder of a run"
    recipe = documents.values(documents.text_of(path, fix=fix), where=str(path))
    if not isinstance(recipe, dict):
        raise InputError("is no recipe", where=str(path), fix=fix)
    for part in ("settings", "steps"):
        if not isinstance(recipe.setdefault(part, {}), dict):
            raise InputError(f"is no recipe: {part} is no mapping", where=str(path), fix=fix)
    return recipe


def trace_of(model: str) -> Literal["open", "free"]:
    """Only a model that was taught traces has its trace opened; `model` is a folder or a name."""
    folder = Path(model)
    return opened_trace(model_of(folder) if (folder / STAMP).is_file() else folder)


def _outcome(run: Path) -> Path | None:
    """The folder of the step that the run's recipe names as its outcome, if it is there."""
    try:
        recipe = recipe_of(run)
        return _made(run, recipe["steps"], recipe["outcome"]["of"])
    except (InputError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def _made(run: Path, steps: Mapping[str, Any], reference: str) -> Path | None:
    """The folder behind the name of a step, or of what a loop carries, as far as the run is."""
    name, _, carried = reference.partition(".")
    if not carried:
        return run / name if _is_finished(run / name) else None
    loop = steps[name]
    start, inner = loop["carry"][carried]
    return _last_kept(run, name, inner, loop.get("gate")) or _made(run, steps, start)


def _last_kept(run: Path, loop: str, inner: str, gate: str | None) -> Path | None:
    """What a step made in the last round of a loop; of rounds with a gate, in the last accepted."""
    form = re.compile(rf"{re.escape(loop)}-(\d+)(b?)-{re.escape(inner)}")
    found = {
        (int(match[1]), match[2]): folder
        for folder in finished_steps(run)
        if (match := form.fullmatch(folder.name))
    }
    for (number, again), folder in sorted(found.items(), reverse=True):
        # What a gate hands on is right either way. A retry makes the last steps of its round anew.
        labels = [f"{number}{again}"]
        if not again and (number, "b") not in found:
            labels.append(f"{number}b")
        if gate in (None, inner) or any(_accepted(run / f"{loop}-{one}-{gate}") for one in labels):
            return folder
    return None


def _accepted(gate: Path) -> bool:
    return _is_finished(gate) and bool(decision_of(gate)["accepted"])


def _is_finished(step: Path) -> bool:
    return (step / STAMP).is_file()


def stampless(run: Path) -> list[Path]:
    """Folders that are called like steps of the run's recipe and hold no stamp.

    None where there is no recipe: then nothing tells a step from a folder of the user's.
    """
    try:
        steps = recipe_of(run)["steps"]
    except InputError:
        return []
    names = [_names(name, body) for name, body in steps.items() if isinstance(body, dict)]
    form = re.compile("|".join(names))
    folders = sorted(path for path in run.iterdir() if path.is_dir() and not _is_finished(path))
    return [path for path in folders if form.fullmatch(path.name)]


def _names(name: str, body: Mapping[str, Any]) -> str:
    """What the folders of a step, a loop or a group of a recipe are called, as a pattern."""
    own, inner = re.escape(name), "|".join(map(re.escape, body.get("steps") or ()))
    if "repeat" in body:
        return rf"{own}-\d+b?-({inner})"
    if "each" in body:
        return rf"{own}\.({'|'.join(map(re.escape, body['each'] or ()))})\.({inner})"
    return own


def _newest_model(run: Path) -> Path | None:
    """The last finished step that made a model; of an unfinished run, as far as it has come."""
    stamps = stamps_of(run)
    made = [p for p, stamp in stamps.items() if (p / MODEL).is_dir() or stamp["stage"] == "gate"]
    behind = _steps_behind(stamps.values())
    return max(made, key=lambda path: _place(stamps[path], behind), default=None)


def _place(stamp: Mapping[str, Any], behind: Mapping[str, int]) -> tuple[int, int, str]:
    """What puts a step behind others: what it stands on; else its number; of old ones, the clock.

    A clock can jump.
    """
    record = stamp.get("record", {})
    number, started = int(record.get("number", 0)), str(record.get("started", ""))
    return behind[str(stamp["fingerprint"])], number, started


def _steps_behind(stamps: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """For each fingerprint, how long the longest chain of steps is that it stands on."""
    reads = {
        str(stamp["fingerprint"]): {
            fingerprint
            for labels in stamp.get("inputs", {}).values()
            for fingerprint in labels.values()
        }
        for stamp in stamps
    }
    found: dict[str, int] = {}
    inside = {key: read & reads.keys() for key, read in reads.items()}
    for key in TopologicalSorter(inside).static_order():
        found[key] = 1 + max((found[read] for read in inside[key]), default=-1)
    return found


def judged_run(run: Path) -> JudgedRun:
    """The judged turns behind the report of a run, by model, in the report's order.

    Prompts are looked for in the run and in the folder around it, where `rejudge` leaves its own.

    Raises:
        InputError: there is no report, or a step it was made from is not there.
    """
    steps = {**_steps(run.parent), **_steps(run)} if run.is_dir() else {}
    reports = [p for p, stamp in stamps_of(run).items() if stamp["stage"] == "report"]
    if not reports:
        raise InputError(
            "holds no report", where=str(run), fix="give the folder of `align` or `evaluate`"
        )
    inputs = stamp_of(reports[0])["inputs"]
    second = inputs.get("second", {})
    models = [
        _judged_model(steps, label, fingerprint, run, second=second.get(label))
        for label, fingerprint in inputs["judged"].items()
    ]
    models += [
        _judged_model(steps, label, fingerprint, run, repeated=True)
        for label, fingerprint in inputs.get("repeated", {}).items()
    ]
    return JudgedRun(reports[0], tuple(models))


def _judged_model(
    steps: Mapping[str, Path],
    label: str,
    fingerprint: str,
    run: Path,
    *,
    second: str | None = None,
    repeated: bool = False,
) -> JudgedModel:
    judged = _found(steps, fingerprint, f"the judged turns of {label}", run)
    reads = stamp_of(judged)["inputs"]
    sampled, prompts = (
        _found(steps, next(iter(reads[role].values())), f"the {role} of {judged.name}", run)
        for role in ("generations", "prompts")
    )
    other = _found(steps, second, f"the second opinion on {label}", run) if second else None
    return JudgedModel(label, judged, sampled, prompts, other, repeated)


def _found(steps: Mapping[str, Path], fingerprint: str, what: str, run: Path) -> Path:
    if fingerprint not in steps:
        raise InputError(
            f"{what} are not in this folder", where=str(run), fix="give the folder they are in"
        )
    return steps[fingerprint]


def _steps(folder: Path) -> dict[str, Path]:
    """Folders of finished steps by fingerprint."""
    return {str(stamp["fingerprint"]): path for path, stamp in stamps_of(folder).items()}


def stamps_of(folder: Path) -> dict[Path, dict[str, Any]]:
    """Stamps of the steps of a folder; what is none of ours is passed over.

    Raises:
        ArtefactError: one is ours, and broken.
    """
    found: dict[Path, dict[str, Any]] = {}
    for step in finished_steps(folder):
        try:
            stamp = json.loads((step / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(stamp, dict) and {"fingerprint", "stage"} <= stamp.keys():
            found[step] = whole_stamp(stamp, step)
    return found
