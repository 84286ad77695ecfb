"""Performs recipes in run folders: what follows from options, results, model cards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exante import recipes
from exante.durable import copy_file
from exante.errors import InputError
from exante.models.folders import MINIATURE
from exante.models.hub import check_ready
from exante.models.memory import tune_memory
from exante.models.ranks import ranks
from exante.pages.results import Results
from exante.pages.results import read_results as results_of
from exante.recipes import Listener
from exante.recipes.plan import build, steps_of
from exante.recipes.run import Scope
from exante.stages.card import write_card
from exante.stages.report import PAGE, RESULTS, ROWS
from exante.stages.served import PREFIX
from exante.training.trackers import tracker_names, watching
from exante.workflows.publishing import push_run

_TRACKED = "trackers"
"""Folder of a run for what trackers write."""
_FOR_OWN_DATA = {"rules": "general", "teacher": "template", "judge": "strings", "turn_tokens": 512}
_FOR_OWN_MODEL = {"sft_rate": 1e-5, "preference_rate": 1e-6}
_FOR_LORA = {"sft_rate": 1e-4, "preference_rate": 1e-5}
"""Adapters want some ten times the rate of all weights (thinkingmachines.ai/blog/lora)."""
_LOG = logging.getLogger("exante")


class LogListener:
    """Tells how a run goes through `logging`, under the name `exante`."""

    def started(self, name: str, stage: str) -> None:  # noqa: ARG002 (a Listener)
        """Nothing: what counts is what became of it."""

    def progress(self, done: int, total: int, note: str) -> None:  # noqa: ARG002 (a Listener)
        """Words that shall stay are told."""
        if total == 0:
            _LOG.info(note)

    def finished(self, name: str, seconds: float, reused: bool) -> None:
        """Every step is told, with how long it took."""
        _LOG.info("%s %s", name, "kept" if reused else f"done in {seconds:.0f} s")


def fitting(known: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were asked for, and what follows from a model or prompts of the user's.

    `known` are the settings of a recipe. Nothing of the miniature judges a user's prompts, no turn
    of theirs is cut at its length, and no model of theirs is trained at its rates; what was asked
    for, or stands in a recipe with another value than the built-in ones have, stays.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    now = {**known, **given}
    follows: dict[str, Any] = {}
    if now.get("data", MINIATURE) != MINIATURE:
        follows |= _FOR_OWN_DATA
    if now.get("model", MINIATURE) != MINIATURE:
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
    until: str | None = None,
    report_to: str = "",
    push_to: str | None = None,
    listener: Listener | None = None,
) -> Results | None:
    """Perform a recipe; the results, or None if it ends before its report or elsewhere.

    `asked` are options by the names of the recipe's settings, None where one was not given.
    `report_to` are trackers with commas between them. The outcome, which a run that stops at
    `until` has not come to, gets a model card, and is uploaded under the hub id `push_to`, if there
    is one.

    Raises:
        InputError: an option does not fit, or nothing can be uploaded from here.
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
        results = _perform(recipes.load(name, settings, changes), out, listener, until)
    # Not every recipe ends with a report; the model is there all the same.
    if until is None and ranks().main:
        write_card(out)
        if push_to is not None:
            (listener or LogListener()).progress(0, 0, push_run(out, push_to))
    return results


def lora_of(rank: int | None) -> dict[str, int] | None:
    """The setting of a recipe behind a rank of adapters."""
    return None if rank is None else {"rank": rank}


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
    listener: Listener | None = None,
) -> Results | None:
    """Perform a recipe that was put together in memory; `given` folders are known already."""
    name = str(document["name"])
    recipe = build(recipes.changed(document, changes, name), name, given or ())
    return _perform(recipe, out, listener, given=given)


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


def _perform(
    recipe: recipes.Recipe,
    out: Path,
    listener: Listener | None,
    until: str | None = None,
    given: Scope | None = None,
) -> Results | None:
    tune_memory()
    recipes.perform_recipe(recipe, out, listener or LogListener(), until, given)
    report = out / "report"
    if not ranks().main or not (report / RESULTS).is_file() or until is not None:
        return None
    for name in (RESULTS, PAGE, ROWS):
        copy_file(report / name, out / name)
    return read_results(out)
