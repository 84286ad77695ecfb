"""Several methods as one plan, in which what they have in common is made once. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, count
from typing import Any

from exante import plugins
from exante.errors import InputError
from exante.stages import STAGES
from exante.stages.base import Stage

Body = dict[str, Any]
Rename = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class United:
    """Steps of all methods, in an order in which they can be performed."""

    steps: dict[str, Body]
    names: dict[str, dict[str, str]]
    """By method, what each of its steps is called here."""
    outcomes: dict[str, dict[str, str]]
    """By method, its outcome: the step it is `of`, and whether the trace is opened."""
    known: dict[str, str]
    """By what identifies a step, what it is called: here, and in the plans before."""


def united(
    documents: Mapping[str, Mapping[str, Any]],
    reserved: Collection[str] = (),
    known: Mapping[str, str] | None = None,
) -> United:
    """The steps that lead to the outcomes of these recipes, by method, their settings filled in.

    Steps of one name that do the same with the same inputs in two methods are one step; all others
    get the name of their method in front. No step is called by a `reserved` name. What an earlier
    plan of other methods called a step is `known`, and stays.

    Raises:
        InputError: a recipe names no outcome.
    """
    plans = {method: _plan(method, document) for method, document in documents.items()}
    digests = {method: _digests(steps) for method, steps in plans.items()}
    made = Counter(digest for own in digests.values() for digest in set(own.values()))
    often = min(2, len(plans))
    called = dict(known or {})
    taken = {*reserved, *(called[digest] for digest in made if digest in called)}
    steps: dict[str, Body] = {}
    names: dict[str, dict[str, str]] = {}
    for method, plan in plans.items():
        own = names[method] = {}
        for name, body in plan.items():
            digest = digests[method][name]
            plain = made[digest] >= often or name == method
            if digest not in called:
                called[digest] = _free(name, method, taken, plain=plain)
                taken.add(called[digest])
            own[name] = called[digest]
            steps.setdefault(own[name], _renamed(body, own.__getitem__))
    outcomes = {}
    for method, document in documents.items():
        of = _headed(names[method].__getitem__)(str(document["outcome"]["of"]))
        outcomes[method] = {"trace": "free", **document["outcome"], "of": of}
    return United(steps, names, outcomes, called)


def _free(name: str, method: str, taken: Collection[str], *, plain: bool) -> str:
    """The first name that nothing else bears."""
    prefixed = f"{method}_{name}"
    numbered = (f"{prefixed}_{number}" for number in count(2))
    names = chain([name] if plain else [], [prefixed], numbered)
    return next(one for one in names if one not in taken)


def _plan(method: str, document: Mapping[str, Any]) -> dict[str, Body]:
    """The steps that the outcome rests on, in their order."""
    outcome = document.get("outcome") or {}
    last = str(outcome.get("of", "")).partition(".")[0]
    if last not in document["steps"]:
        raise InputError(
            "names no model as its outcome",
            where=method,
            fix="outcome: {of: STEP, trace: free}, with a step of the recipe",
        )
    settings = document.get("settings") or {}
    steps = {name: _with(body, settings) for name, body in document["steps"].items()}
    needed: set[str] = set()
    waiting = [last]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += _read(steps[name])
    return {name: body for name, body in steps.items() if name in needed}


def _read(body: Body) -> list[str]:
    """Names of all steps that a step or a group of steps reads."""
    found: list[str] = []

    def keep(name: str) -> str:
        found.append(name)
        return name

    _renamed(body, keep)
    return found


def _digests(steps: Mapping[str, Body]) -> dict[str, str]:
    """What identifies each step: its name, its settings, and the same of all that it reads."""
    found: dict[str, str] = {}
    for name, body in steps.items():
        told = json.dumps([name, _renamed(body, found.__getitem__)], sort_keys=True, default=str)
        found[name] = sha256(told.encode()).hexdigest()[:32]
    return found


def _with(value: Any, settings: Mapping[str, Any]) -> Any:
    """The value with the settings filled in; a `$name` of a loop or a group stays."""
    if isinstance(value, str) and value.startswith("$"):
        return settings.get(value[1:], value)
    if isinstance(value, dict):
        own = {name for item in value["each"].values() for name in item} if "each" in value else ()
        outer = {name: kept for name, kept in settings.items() if name not in own}
        return {key: _with(item, outer) for key, item in value.items()}
    if isinstance(value, list):
        return [_with(item, settings) for item in value]
    return value


def _renamed(body: Body, rename: Rename) -> Body:
    """A step or group of steps with every step that it reads called by its new name."""
    if "repeat" in body:
        inner = _around({*body["steps"], *body.get("carry", {})}, rename)
        carried = body.get("carry", {})
        carry = {name: [_headed(rename)(start), end] for name, (start, end) in carried.items()}
        steps = {name: _renamed(step, inner) for name, step in body["steps"].items()}
        return {**body, "carry": carry, "steps": steps}
    if "each" in body:
        return _renamed_group(body, rename)
    stage: Stage = plugins.load(STAGES, str(body["stage"]), "stage")
    roles = [role for role in (*stage.reads, *stage.optional) if body.get(role) is not None]
    return {**body, **{role: _reference(body[role], _headed(rename)) for role in roles}}


def _renamed_group(body: Body, rename: Rename) -> Body:
    """Steps for several things: what their `$names` stand for may be steps, too."""
    read: set[str] = set()

    def inner(name: str) -> str:
        if name.startswith("$"):
            read.add(name[1:])
            return name
        return name if name in body["steps"] else rename(name)

    steps = {name: _renamed(step, inner) for name, step in body["steps"].items()}
    each = {
        label: {
            key: _reference(value, _headed(rename)) if key in read else value
            for key, value in item.items()
        }
        for label, item in body["each"].items()
    }
    return {**body, "each": each, "steps": steps}


def _around(inside: Collection[str], rename: Rename) -> Rename:
    """Names of the inside stay as they are."""
    return lambda name: name if name in inside else rename(name)


def _headed(rename: Rename) -> Rename:
    """Of `group.step` only the group has a name out here."""

    def headed(reference: str) -> str:
        head, dot, rest = reference.partition(".")
        return f"{rename(head)}{dot}{rest}"

    return headed


def _reference(value: Any, rename: Rename) -> Any:
    """A reference in any of its forms."""
    if isinstance(value, dict):
        return {label: rename(name) for label, name in value.items()}
    return [rename(name) for name in value] if isinstance(value, list) else rename(value)
