"""A recipe as read: steps, groups of steps, and what each reads; checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import NonNegativeInt, ValidationError

from exante import documents, plugins
from exante.errors import InputError, said, unknown_name
from exante.quoting import holds_secret
from exante.stages import STAGES
from exante.stages.base import Config, Stage
from exante.traces import Start

_FOLDER = re.compile(r"[^\W_][\w.+@ -]{0,99}(?<![. ])(?<!\.partial)")

Reference = str | list[str] | dict[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One stage with its settings; `reads` maps roles to names of other steps."""

    name: str
    stage: Stage
    config: Mapping[str, Any]
    """Settings as written; `$names` are filled in when the step is performed."""
    reads: Mapping[str, Reference]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Steps in rounds: what is carried goes from one round to the next."""

    name: str
    rounds: int
    carry: Mapping[str, tuple[str, str]]
    """Carried name: (the step it starts as, the inner step it becomes)."""
    gate: str | None
    """Inner step that can reject a round."""
    retry: str | None
    """First inner step that is made again once after a rejection."""
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Each:
    """The same steps for several things: each has a label and its own `$names`."""

    name: str
    items: Mapping[str, Mapping[str, Any]]
    steps: tuple[Step, ...]


Node = Step | Repeat | Each


@dataclass(frozen=True, slots=True)
class Recipe:
    """A plan of steps and the settings that fill its `$names`."""

    name: str
    summary: str
    paper: str
    badge: str
    settings: Mapping[str, Any]
    nodes: tuple[Node, ...]
    raw: Mapping[str, Any]


def build(raw: Any, where: str, given: Iterable[str] = ()) -> Recipe:
    """The recipe in a parsed YAML document; steps may also read the `given` names.

    Raises:
        InputError: an unknown field, stage or step; names the place and the nearest known one.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("steps"), dict):
        raise InputError(
            "a recipe is a mapping with `steps`",
            where=where,
            fix="`exante cp erpo mine.yaml` writes one to begin with",
        )
    _known(raw, set(_Document.model_fields), where)
    _require_no_secrets(raw, where)
    head = _shaped(_Document, raw, where)
    nodes = tuple(_node(name, body, head.settings, where) for name, body in head.steps.items())
    recipe = Recipe(
        name=head.name,
        summary=head.summary,
        paper=head.paper,
        badge=head.badge,
        settings=head.settings,
        nodes=nodes,
        raw=raw,
    )
    known = _check_references(recipe, where, given)
    if head.outcome is not None and head.outcome.of not in known:
        raise unknown_name("step", head.outcome.of, known, where=f"{where}: outcome.of")
    return recipe


def steps_of(recipe: Recipe) -> Iterator[tuple[str, Step]]:
    """Every step with its full name, groups opened once."""
    for node in recipe.nodes:
        if isinstance(node, Step):
            yield node.name, node
        else:
            for step in node.steps:
                yield f"{node.name}.{step.name}", step


def changed(raw: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The document with `step.field` (or a setting's name) set to new values.

    Raises:
        InputError: there is no such step or setting.
    """
    document: dict[str, Any] = _written_out(dict(raw))
    settings = document.get("settings")
    if not isinstance(settings, dict):
        settings = {}
    for key, value in changes.items():
        path = key.split(".")
        if len(path) == 1:
            if key not in settings:
                raise unknown_name("setting", key, settings, where=f"{where}: --set")
            settings[key] = value
            continue
        node = document["steps"]
        for depth, part in enumerate(path[:-1]):
            steps = node.get("steps") if depth else node
            inner = steps if isinstance(steps, dict) else node
            if part in inner:
                node = inner[part] = _opened(inner[part], settings)
            elif depth == 0:
                raise unknown_name("step", part, inner, where=f"{where}: --set {key}")
            else:
                node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise InputError(
                    f"{part} is a single value, nothing inside it can be set",
                    where=f"{where}: --set {key}",
                    fix=f"--set {key.rpartition('.')[0]}=VALUE",
                )
        node[path[-1]] = value
    return document


def _written_out(value: Any) -> Any:
    """A copy in which nothing stands twice: a change of one place changes no alias of it."""
    if isinstance(value, dict):
        return {key: _written_out(item) for key, item in value.items()}
    return [_written_out(item) for item in value] if isinstance(value, list) else value


def _opened(value: Any, settings: Mapping[str, Any]) -> Any:
    """A place in which fields are set: a `$name` there is what it stands for, null is empty."""
    if isinstance(value, str) and value.startswith("$"):
        value = _written_out(settings.get(value[1:], value))
    return {} if value is None else value


def filled(value: Any, names: Mapping[str, Any], where: str) -> Any:
    """The value with every `$name` replaced, at any depth."""
    if isinstance(value, str) and value.startswith("$"):
        if value[1:] not in names:
            raise unknown_name("setting", value[1:], names, where=where)
        return names[value[1:]]
    if isinstance(value, dict):
        return {key: filled(item, names, where) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names, where) for item in value]
    return value


def parsed(step: Step, names: Mapping[str, Any], where: str) -> Config:
    """The step's settings as the stage's own type.

    Raises:
        InputError: a setting is unknown or does not fit; names step and field.
    """
    try:
        return step.stage.config.model_validate(filled(dict(step.config), names, where))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        known = step.stage.config.model_fields
        if first["type"] == "extra_forbidden":
            place = f"{where}: {'.'.join([step.name, *map(str, first['loc'][:-1])])}"
            there = documents.known_fields(step.stage.config, first["loc"])
            raise unknown_name("setting", str(first["loc"][-1]), there, where=place) from None
        raise InputError(
            said(first["msg"]),
            where=f"{where}: {step.name}.{field}",
            fix=f"settings of {step.stage.name}: {', '.join(known)}",
        ) from None


def _node(name: str, body: Any, settings: Mapping[str, Any], where: str) -> Node:
    place = f"{where}: {name}"
    _require_folder_names([name], place)
    if not isinstance(body, dict):
        raise InputError(
            "a step is a mapping with `stage`, `repeat` or `each`",
            where=place,
            fix="exante cp erpo FILE shows how it is written",
        )
    if "repeat" in body:
        _known(body, set(_Loop.model_fields), place)
        rounds = filled(body["repeat"], settings, place)
        loop = _shaped(_Loop, {**body, "repeat": rounds}, place)
        inner = tuple(_step(key, step, place) for key, step in loop.steps.items())
        named = [step for _, step in loop.carry.values()] + [loop.gate, loop.retry]
        for step in named:
            if step is not None and step not in loop.steps:
                raise unknown_name("step", step, loop.steps, where=place)
        return Repeat(name, loop.repeat, loop.carry, loop.gate, loop.retry, inner)
    if "each" in body:
        _known(body, set(_Group.model_fields), place)
        group = _shaped(_Group, body, place)
        _require_folder_names(group.each, place)
        return Each(name, group.each, tuple(_step(k, v, place) for k, v in group.steps.items()))
    return _step(name, body, where)


class _Outcome(Config):
    """The model that a recipe is about."""

    of: str
    trace: Start = "free"


class _Document(Config):
    """How a recipe is written."""

    name: str = ""
    summary: str = ""
    paper: str = ""
    badge: str = ""
    notes: str = ""
    settings: dict[str, Any] = {}
    steps: dict[str, Any]
    outcome: _Outcome | None = None
    names: dict[str, str] = {}
    """Of a comparison: what its steps are called, by what identifies them (`unite`)."""


class _Loop(Config):
    """How a loop is written."""

    repeat: NonNegativeInt
    carry: dict[str, tuple[str, str]] = {}
    gate: str | None = None
    retry: str | None = None
    steps: dict[str, Any]


class _Reads(Config):
    """How steps are referred to."""

    reads: dict[str, Reference]


class _Group(Config):
    """How steps for several things are written."""

    each: dict[str, dict[str, Any]]
    steps: dict[str, Any]


S = TypeVar("S", bound=Config)


def _shaped(shape: type[S], body: Any, place: str) -> S:
    """A part of a recipe in its type; errors name the place and the field."""
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(
            said(first["msg"]),
            where=f"{place}.{field}",
            fix="exante cp erpo FILE shows how it is written",
        ) from None


def _step(name: str, body: Any, where: str) -> Step:
    place = f"{where}: {name}"
    _require_folder_names([name], place)
    if not isinstance(body, dict) or "stage" not in body:
        raise InputError("a step needs a `stage`", where=place, fix=f"one of {', '.join(STAGES)}")
    try:
        stage = plugins.load(STAGES, str(body["stage"]), "stage")
    except InputError as error:
        raise InputError(error.problem, where=place, fix=error.fix) from None
    if not isinstance(stage, Stage):
        raise InputError(
            f"{body['stage']} is no stage",
            where=place,
            fix=f"one of {', '.join(STAGES)}, or package.module:NAME of an "
            "exante.stages.base.Stage",
        )
    roles = (*stage.reads, *stage.optional)
    reads = {role: body[role] for role in roles if body.get(role) is not None}
    config = {key: value for key, value in body.items() if key not in (*roles, "stage")}
    return Step(name, stage, config, reads)


def _require_folder_names(names: Iterable[str], where: str) -> None:
    """Steps and labels become folders of the run, and of nothing else."""
    for name in names:
        if not _FOLDER.fullmatch(name):
            raise InputError(
                f"{name!r} can be no name of a folder",
                where=where,
                fix="use letters, digits, dots, dashes and underscores; begin with a letter",
            )


def _require_no_secrets(value: Any, where: str) -> None:
    """What stands in a recipe is written down in the run, and travels with it."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _require_no_secrets(key, where)
            _require_no_secrets(item, f"{where}: {key}")
    elif isinstance(value, list):
        for item in value:
            _require_no_secrets(item, where)
    elif isinstance(value, str) and holds_secret(value):
        raise InputError(
            "looks like a key or a password, and a run writes its settings down",
            where=where,
            fix="put the key of a server into the environment variable EXANTE_API_KEY",
        )


def _known(body: Mapping[str, Any], fields: set[str], where: str) -> None:
    for key in body:
        if key not in fields:
            raise unknown_name("field", str(key), fields, where=where)


def _check_references(recipe: Recipe, where: str, given: Iterable[str]) -> set[str]:
    """Every step that is read stands further up, and every setting fits its stage; all names."""
    seen = set(given)
    for node in recipe.nodes:
        steps = (node,) if isinstance(node, Step) else node.steps
        inner: set[str] = set(node.carry) if isinstance(node, Repeat) else set()
        for start, _ in node.carry.values() if isinstance(node, Repeat) else ():
            if start not in seen:
                raise unknown_name("step", start, seen, where=f"{where}: {node.name}.carry")
        variants: list[Mapping[str, Any]] = (
            list(node.items.values())
            if isinstance(node, Each)
            else [{"round": 1} if isinstance(node, Repeat) else {}]
        )
        for step in steps:
            for variant in variants:
                names = {**recipe.settings, **variant}
                parsed(step, names, where)
                reads = _shaped(_Reads, {"reads": filled(dict(step.reads), names, where)}, where)
                for reference in names_in(reads.reads):
                    if reference not in seen | inner:
                        place = f"{where}: {step.name}"
                        raise unknown_name("step", reference, seen | inner, where=place)
            inner.add(step.name)
        seen.add(node.name)
        if not isinstance(node, Step):
            seen |= {f"{node.name}.{name}" for name in inner}
    return seen


def names_in(reads: Mapping[str, Reference]) -> list[str]:
    """All step names in references of any form."""
    found: list[str] = []
    for reference in reads.values():
        if isinstance(reference, str):
            found.append(reference)
        else:
            found += reference.values() if isinstance(reference, dict) else reference
    return found
