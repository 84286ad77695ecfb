"""Recipes that extend others: what they share first, their own steps, and what closes every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from exante.errors import InputError

Document = dict[str, Any]
_OUTCOME = ("evaluation", "latency")
"""Groups of steps that the outcome of a recipe is put into."""


def extended(raw: Any, where: str, read: Callable[[str], Any]) -> Any:
    """The recipe as one document without `extends` and `closing`; others are taken as they are.

    What a recipe says is laid over what it extends, field by field. Steps of `closing` come last.
    The `outcome` is evaluated under the recipe's name. Of the steps that are only extended, those
    remain that something reads.

    Raises:
        InputError: what is extended is unknown, or extends itself.
    """
    if not isinstance(raw, dict):
        return raw
    document = _joined(raw, where, read, ())
    if raw.get("extends") is None:
        return document
    steps, closing = document.pop("steps"), document.pop("closing", {})
    name = str(document.get("name", ""))
    if isinstance(document.get("outcome"), dict):
        outcome = {"trace": "free", **document["outcome"]}
        for group in (closing[g] for g in _OUTCOME if g in closing):
            if isinstance(group, dict) and isinstance(group.get("each"), dict):
                group["each"] = {**group["each"], name: outcome}
    if isinstance(closing.get("report"), dict):
        closing["report"] = {"recipe": name, **closing["report"]}
    own = set(raw.get("steps") or {})
    needed = _needed({**steps, **closing}, own | set(closing))
    document["steps"] = {k: v for k, v in steps.items() if k in needed} | closing
    return document


def _joined(
    raw: Document, where: str, read: Callable[[str], Any], above: tuple[str, ...]
) -> Document:
    """The document over all that it extends; `above` are the names on the way here."""
    base_name = raw.get("extends")
    own = {key: value for key, value in raw.items() if key != "extends"}
    if base_name is None:
        return own
    if not isinstance(base_name, str):
        raise InputError(
            f"extends: {base_name!r:.60} is no name of a recipe",
            where=where,
            fix="extends: measured",
        )
    if base_name in above:
        raise InputError(f"{base_name} extends itself", where=where, fix="extend something else")
    base = read(base_name)
    if not isinstance(base, dict) or not isinstance(base.get("steps"), dict):
        raise InputError(
            f"{base_name} is no recipe to extend", where=where, fix="extends: measured"
        )
    base = _joined(base, base_name, read, (*above, base_name))
    last = _mapping(base, "closing", base_name)
    steps = _mapping(own, "steps", where)
    own["steps"] = {name: body for name, body in steps.items() if name not in last}
    changed = {name: body for name, body in steps.items() if name in last}
    own["closing"] = _over(_mapping(own, "closing", where), changed)
    return _over(base, own)


def _mapping(document: Document, name: str, where: str) -> Document:
    found = document.get(name, {})
    if not isinstance(found, dict):
        raise InputError(f"`{name}` is a mapping", where=where, fix="exante cp erpo FILE shows one")
    return found


def _over(base: Mapping[str, Any], own: Mapping[str, Any]) -> Document:
    """`own` laid over `base`: mappings are joined at any depth, everything else is replaced."""
    found = dict(base)
    for key, value in own.items():
        below = found.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            found[key] = _over(below, value)
        else:
            found[key] = value
    return found


def _needed(steps: Mapping[str, Any], roots: set[str]) -> set[str]:
    """Names of the roots and of all that they read, at any distance."""
    needed, waiting = set(), list(roots & set(steps))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [word for word in _words(steps[name]) if word in steps]
    return needed


def _words(value: Any) -> Iterator[str]:
    """Every text in a step that may name another: `step`, or `group.step`."""
    if isinstance(value, str):
        yield value
        yield value.partition(".")[0]
    elif isinstance(value, dict):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
