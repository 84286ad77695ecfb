"""Runs of recipes as the command line starts them: defaults, progress on stderr, results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from exante import recipes
from exante.attacks import ATTACKS, GROUPS
from exante.attacks.search import SEARCHES, SOFT
from exante.cli.publishing import push_run
from exante.cli.terminal import Screen, shown, words
from exante.errors import InputError, RunError, unknown_name
from exante.formats import FORMATS
from exante.judges import JUDGES
from exante.models.hub import check_ready
from exante.models.memory import tune_memory
from exante.models.ranks import ranks
from exante.pages.results import Results
from exante.pages.results import read_results as results_of
from exante.recipes.plan import build, steps_of
from exante.recipes.run import Scope
from exante.stages.card import write_card
from exante.stages.report import PAGE, RESULTS, ROWS
from exante.stages.runs import final_model as final_model
from exante.stages.served import PREFIX
from exante.teachers import TEACHERS
from exante.training.trackers import tracker_names, watching

_MINIATURE = "miniature"
_TRACKED = "trackers"
"""Folder of a run for what trackers write."""
_FOR_OWN_DATA = {"rules": "general", "teacher": "template", "judge": "strings", "turn_tokens": 512}
_FOR_OWN_MODEL = {"sft_rate": 1e-5, "preference_rate": 1e-6}
_FOR_LORA = {"sft_rate": 1e-4, "preference_rate": 1e-5}
"""Adapters want some ten times the rate of all weights (thinkingmachines.ai/blog/lora)."""


class ProgressListener:
    """Shows steps and bars with the remaining time on stderr."""

    def __init__(self) -> None:
        """Nothing is shown before the first step; only the main process shows anything."""
        self.console = Screen(stderr=True, quiet=not ranks().main)
        self.bar = Progress(
            TextColumn("  {task.description:32}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            transient=True,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> ProgressListener:
        """Start drawing."""
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing, however the run ended."""
        self.bar.stop()

    def started(self, name: str, stage: str) -> None:
        """A bar without length appears."""
        self.task = self.bar.add_task(shown(name), total=None, note=shown(stage))

    def progress(self, done: int, total: int, note: str) -> None:
        """The bar moves; words without a number are a line that stays."""
        if total == 0:
            self.console.print(f"  {note}", style="dim")
        elif self.task is not None:
            self.bar.update(self.task, completed=done, total=total, note=shown(note))

    def finished(self, name: str, seconds: float, reused: bool) -> None:
        """The bar becomes a line."""
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None
        what = "kept" if reused else f"{seconds:.0f} s"
        line = words("  ").append("done", "green").append(f" {shown(name):32} ").append(what, "dim")
        self.console.print(line)


def fitting(known: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were asked for, and what follows from a model or prompts of the user's.

    `known` are the settings of a recipe. Nothing of the miniature judges a user's prompts, no turn
    of theirs is cut at its length, and no model of theirs is trained at its rates; what was asked
    for, or stands in a recipe with another value than the built-in ones have, stays.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    now = {**known, **given}
    follows: dict[str, Any] = {}
    if now.get("data", _MINIATURE) != _MINIATURE:
        follows |= _FOR_OWN_DATA
    if now.get("model", _MINIATURE) != _MINIATURE:
        follows |= _FOR_LORA if now.get("lora") else _FOR_OWN_MODEL
    built_in = recipes.settings_of("erpo")
    unsaid = {k: v for k, v in follows.items() if k in known and known[k] == built_in[k]}
    return {**unsaid, **given}


def run_recipe(
    name: str,
    *,
    asked: Mapping[str, Any],
    changes: Mapping[str, Any],
    out: Path,
    until: str | None,
    report_to: str = "",
    push_to: str | None = None,
) -> Results | None:
    """Perform a recipe; the results, or None if it ends before its report or elsewhere.

    `asked` are options by the names of the recipe's settings, None where one was not given.
    `report_to` are trackers with commas between them. The outcome gets a model card, and is
    uploaded under the hub id `push_to`, if there is one.
    """
    model = str(asked.get("model") or "")
    if model.startswith(PREFIX):
        raise InputError(
            "a model behind a server cannot be trained",
            where=model,
            fix=f"give a folder or a hub id, or evaluate it: exante evaluate {model}",
        )
    if push_to is not None:
        check_ready(push_to)
    trackers = tracker_names(report_to)
    settings = fitting(recipes.settings_of(name), asked)
    with watching(trackers, out / _TRACKED):
        results = _perform(recipes.load(name, settings, changes), out, until)
    if results is not None:
        write_card(out)
        if push_to is not None:
            Screen(stderr=True).print(push_run(out, push_to))
    return results


def reusing(name: str, run: Path) -> dict[str, str]:
    """Changes that let every reason step of a recipe take what still holds from another run.

    Raises:
        InputError: the recipe is unknown, or there is no such run.
    """
    if not run.is_dir():
        raise InputError("no such run", where=f"--reuse {run}", fix="give the folder of a run")
    steps = steps_of(recipes.load(name))
    return {f"{full}.earlier": str(run) for full, step in steps if step.stage.name == "reason"}


def run_document(
    document: dict[str, Any],
    *,
    changes: Mapping[str, Any],
    out: Path,
    given: Scope | None = None,
) -> Results | None:
    """Perform a recipe that was put together in memory; `given` folders are known already."""
    name = str(document["name"])
    recipe = build(recipes.changed(document, changes, name), name, given or ())
    return _perform(recipe, out, None, given)


def read_results(run: Path) -> Results:
    """The results of a finished run.

    Raises:
        InputError: the folder has none, or they do not fit.
    """
    for path in (run / RESULTS, run / "report" / RESULTS):
        if path.is_file():
            return results_of(path)
    raise InputError(
        "holds no results", where=str(run), fix="finish the run: give its command again"
    )


def listing(what: str) -> list[dict[str, str]]:
    """Rows of what there is to choose from.

    Raises:
        InputError: there is nothing of that kind.
    """
    kinds = {
        "recipes": recipes.table,
        "attacks": lambda: [
            *({"name": n, "group": _group(n)} for n in ATTACKS),
            *({"name": n, "group": "search"} for n in (*SEARCHES, *SOFT)),
        ],
        "judges": lambda: [{"name": name, "is": JUDGES[name]} for name in JUDGES],
        "teachers": lambda: [{"name": name, "is": TEACHERS[name]} for name in TEACHERS],
        "formats": lambda: [{"name": f.name, "about": f.about} for f in FORMATS.values()],
        "runs": _runs,
    }
    if what not in kinds:
        raise unknown_name("kind of thing", what, kinds)
    return kinds[what]()


def build_miniature(output: Path | None, steps: int | None) -> str:
    """Train the embedded base model; a line that says where it is and what its hash is."""
    from exante.miniature.build import BuildSettings
    from exante.miniature.build import build as build_base
    from exante.models.folders import resolve

    tune_memory()
    target = output or resolve(_MINIATURE)
    settings = BuildSettings(steps=steps) if steps else BuildSettings()
    with ProgressListener() as listener:
        listener.started("miniature", "build")
        digest = build_base(
            target,
            settings,
            lambda step, total, loss: listener.progress(step, total, f"loss {loss:.3f}"),
        )
    return f"{target}: sha256 {digest}"


def _perform(
    recipe: recipes.Recipe, out: Path, until: str | None, given: Scope | None = None
) -> Results | None:
    tune_memory()
    try:
        with ProgressListener() as listener:
            recipes.perform_recipe(recipe, out, listener, until, given)
    except KeyboardInterrupt:
        raise RunError(
            "stopped before the end",
            where=str(out),
            fix="the same command continues; finished steps are kept",
        ) from None
    report = out / "report"
    if not ranks().main or not (report / RESULTS).is_file() or until is not None:
        return None
    for name in (RESULTS, PAGE, ROWS):
        (out / name).write_bytes((report / name).read_bytes())
    return read_results(out)


def _group(name: str) -> str:
    return next(group for group, names in GROUPS.items() if name in names)


def _runs() -> list[dict[str, str]]:
    found = []
    for path in sorted(Path("runs").glob("*/recipe.yaml")):
        state = "finished" if (path.parent / RESULTS).is_file() else "unfinished"
        found.append({"name": str(path.parent), "state": state})
    return found
