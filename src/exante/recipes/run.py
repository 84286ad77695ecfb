"""Performs a recipe in a run folder: one folder per step, rounds and gates decided as it goes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from exante.durable import write_text
from exante.errors import ArtefactError, unknown_name
from exante.models.ranks import ranks, require_shared
from exante.recipes.plan import Each, Recipe, Reference, Repeat, Step, filled, parsed, steps_of
from exante.stages.base import LOCK, RECIPE, STAMP, Inputs, locked, perform
from exante.stages.decision import decision_of
from exante.stages.disk import disk_errors

Scope = dict[str, Path | dict[str, Path]]
"""Names that can be read: a folder, or several under labels."""


class Listener(Protocol):
    """Whoever is told how a run goes."""

    def started(self, name: str, stage: str) -> None:
        """A step begins, or is found finished."""
        ...

    def progress(self, done: int, total: int, note: str) -> None:
        """How far the current step is."""
        ...

    def finished(self, name: str, seconds: float, reused: bool) -> None:
        """A step is complete."""
        ...


class _Stopped(Exception):  # noqa: N818 (no error: what was asked for)
    """The step named by `--until` is done."""


def perform_recipe(
    recipe: Recipe,
    out: Path,
    listener: Listener,
    until: str | None = None,
    given: Scope | None = None,
) -> Scope:
    """Perform every step that `out` does not hold yet; returns the folders by name.

    Every process of a run does this; see `models.ranks`.

    `until` is a step (`group.step` inside a group), a group or a stage: nothing is performed behind
    the first of that name. `given` are folders of another run that steps may read by name.

    Raises:
        ExanteError: see the stages; what was finished stays and is not made again.
    """
    if until is not None:
        known = {name for name, _ in steps_of(recipe)} | {n.name for n in recipe.nodes}
        known |= {step.stage.name for _, step in steps_of(recipe)}
        if until not in known:
            raise unknown_name("step", until, known, where="--until")
    run = _Run(recipe, out, listener, until, given)
    if ranks().main:
        _require_run_folder(out)
    with locked(out), disk_errors(out):
        require_shared(out)
        try:
            for node in recipe.nodes:
                if isinstance(node, Repeat):
                    run.repeat(node)
                elif isinstance(node, Each):
                    run.each(node)
                else:
                    run.plain(node)
        except _Stopped:
            pass
    return run.scope


class _Run:
    """One performance of a recipe: the folders known so far."""

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        listener: Listener,
        until: str | None,
        given: Scope | None,
    ) -> None:
        self.recipe = recipe
        self.out = out
        self.listener = listener
        self.until = until
        self.scope: Scope = dict(given or {})
        # What was given is a part of what the results stand on.
        self.done = {name: path for name, path in self.scope.items() if isinstance(path, Path)}

    def plain(self, step: Step) -> None:
        """Perform a step that stands in no group."""
        self.scope[step.name] = self.step(
            step, step.name, self.scope, self.recipe.settings, folder=step.name
        )

    def step(
        self, step: Step, name: str, scope: Scope, settings: Mapping[str, Any], *, folder: str
    ) -> Path:
        """Perform one step, which is `name` in the recipe, in a folder of the run."""
        config = parsed(step, settings, self.recipe.name)
        reads = filled(dict(step.reads), settings, self.recipe.name)
        inputs = Inputs({role: _folders(ref, scope) for role, ref in reads.items()})
        if "steps" in step.stage.optional:
            inputs = Inputs({**inputs.folders, "steps": dict(self.done)})
        target = self.out / folder
        former, start = _stamped_at(target), time.monotonic()
        if (former is None or step.stage.renewed) and ranks().main:
            self.write_down()
        self.listener.started(folder, step.stage.name)
        done = perform(step.stage, config, inputs, target, self.listener.progress)
        reused = former is not None and _stamped_at(target) == former
        self.listener.finished(folder, time.monotonic() - start, reused)
        self.done[folder] = done
        if self.until in (name, step.stage.name):
            raise _Stopped
        return done

    def write_down(self) -> None:
        """Leave the recipe beside its folders; not before they are known to be its own."""
        document = yaml.safe_dump(dict(self.recipe.raw), sort_keys=False, allow_unicode=True)
        path = self.out / RECIPE
        if not path.is_file() or path.read_text(encoding="utf-8") != document:
            write_text(path, document)

    def each(self, node: Each) -> None:
        """Perform the steps for every item; results are mappings by label."""
        results: dict[str, dict[str, Path]] = {step.name: {} for step in node.steps}
        for label, own in node.items.items():
            scope = dict(self.scope)
            settings = {**self.recipe.settings, **own}
            for step in node.steps:
                name, folder = f"{node.name}.{step.name}", f"{node.name}.{label}.{step.name}"
                path = self.step(step, name, scope, settings, folder=folder)
                scope[step.name] = results[step.name][label] = path
        self.scope |= {f"{node.name}.{name}": paths for name, paths in results.items()}
        if self.until == node.name:
            raise _Stopped

    def repeat(self, node: Repeat) -> None:
        """Perform rounds until they are used up or a gate has rejected one twice."""
        carried: Scope = {key: self.scope[start] for key, (start, _) in node.carry.items()}
        results: dict[str, dict[str, Path]] = {step.name: {} for step in node.steps}
        for number in range(1, node.rounds + 1):
            made = self._round(node, f"{number}", carried, {}, results)
            if not _accepted(node, made):
                carried = self._after_rejection(node, carried, made)
                kept = _before(node, made)
                made = self._round(node, f"{number}b", carried, kept, results)
                if not _accepted(node, made):
                    break
            carried = {key: made[inner] for key, (_, inner) in node.carry.items()}
        self.scope |= {f"{node.name}.{name}": paths for name, paths in results.items()}
        self.scope |= {f"{node.name}.{name}": value for name, value in carried.items()}
        if self.until == node.name:
            raise _Stopped

    def _round(
        self,
        node: Repeat,
        label: str,
        carried: Scope,
        kept: Mapping[str, Path],
        results: dict[str, dict[str, Path]],
    ) -> dict[str, Path]:
        scope = {**self.scope, **carried}
        settings = {**self.recipe.settings, "round": int(label.rstrip("b"))}
        made: dict[str, Path] = {}
        for step in node.steps:
            path = kept.get(step.name)
            if path is None:
                name, folder = f"{node.name}.{step.name}", f"{node.name}-{label}-{step.name}"
                path = self.step(step, name, scope, settings, folder=folder)
                results[step.name][f"{node.name} {label}"] = path
            made[step.name] = path
            scope[step.name] = path
        return made

    def _after_rejection(self, node: Repeat, carried: Scope, made: dict[str, Path]) -> Scope:
        """Everything stays as it was, but the gate's word is heard.

        What a rejecting gate hands on is the model of before, so that a carried model stays too.
        """
        return {
            key: made[inner] if inner == node.gate else carried[key]
            for key, (_, inner) in node.carry.items()
        }


def _stamped_at(folder: Path) -> int | None:
    """When a finished step was stamped, in nanoseconds."""
    stamp = folder / STAMP
    return stamp.stat().st_mtime_ns if stamp.is_file() else None


def _require_run_folder(out: Path) -> None:
    """A folder with other things in it is not mixed with a run."""
    if out.is_dir() and any(out.iterdir()) and not (out / LOCK).exists():
        raise ArtefactError(
            "holds other things, no run", where=str(out), fix="choose another --output"
        )


def _accepted(node: Repeat, made: Mapping[str, Path]) -> bool:
    if node.gate is None:
        return True
    return bool(decision_of(made[node.gate])["accepted"])


def _before(node: Repeat, made: Mapping[str, Path]) -> dict[str, Path]:
    """What a retry need not make again: the steps in front of the one it starts with."""
    names = [step.name for step in node.steps]
    first = names.index(node.retry) if node.retry in names else 0
    return {name: made[name] for name in names[:first]}


def _folders(reference: Reference, scope: Scope) -> dict[str, Path]:
    """Folders behind a reference, each under a label."""
    if isinstance(reference, str):
        found = scope[reference]
        return found if isinstance(found, dict) else {reference: found}
    if isinstance(reference, list):
        listed: dict[str, Path] = {}
        for name in reference:
            for label, folder in _folders(name, scope).items():
                # Two groups of steps for the same things have the same labels.
                listed[f"{name}.{label}" if label in listed else label] = folder
        return listed
    named: dict[str, Path] = {}
    for label, name in reference.items():
        found = scope[name]
        inner = found if isinstance(found, dict) else {"": found}
        named |= {f"{label}.{own}" if own else label: folder for own, folder in inner.items()}
    return named
