"""Recipes: a method as a YAML plan of steps, readable as prose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from exante import documents
from exante.errors import unknown_name
from exante.recipes.inherit import extended
from exante.recipes.plan import Recipe, build, changed, steps_of
from exante.recipes.run import Listener, perform_recipe

__all__ = [
    "Listener",
    "Recipe",
    "built_in",
    "changed",
    "load",
    "perform_recipe",
    "settings_of",
    "source_text",
    "steps_of",
    "table",
]


def table() -> list[dict[str, str]]:
    """Recipes that come with the package: name, badge, paper and one-line summary."""
    found: list[dict[str, str]] = []
    for name in built_in():
        head = documents.values(source_text(name), where=name)
        found.append({"name": name, **{key: head[key] for key in ("badge", "paper", "summary")}})
    return found


def built_in() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    names = (file.name for file in files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def source_text(name: str, *, among: Iterable[str] = ()) -> str:
    """The YAML of a built-in recipe or of a file; `among` are names that could be meant as well.

    Raises:
        InputError: there is no such recipe or file.
    """
    if name in built_in():
        return (files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.parent != Path():
        return documents.text_of(path, fix="check the path; `exante ls recipes` lists the built-in")
    raise unknown_name("recipe", name, (*built_in(), *among))


def load(
    name: str, settings: Mapping[str, Any] | None = None, changes: Mapping[str, Any] | None = None
) -> Recipe:
    """The recipe of that name or file, with settings filled in and fields changed.

    `settings` replace those of the recipe; `changes` are `step.field` to value.

    Raises:
        InputError: the recipe is unknown or does not fit; names file, step and field.
    """
    document = _document(name)
    if not isinstance(document, dict) or not isinstance(document.get("steps"), dict):
        return build(document, name)
    document = changed(document, {**(settings or {}), **(changes or {})}, name)
    return build(document, name)


def settings_of(name: str) -> dict[str, Any]:
    """The settings that a recipe has, with their values; none where it is no recipe.

    Raises:
        InputError: the recipe is unknown or no YAML.
    """
    document = _document(name)
    settings = document.get("settings") if isinstance(document, dict) else None
    return dict(settings) if isinstance(settings, dict) else {}


def _document(name: str) -> Any:
    """The recipe's YAML, with all that it extends."""
    return extended(documents.values(source_text(name), where=name), name, _extendable)


def _extendable(name: str) -> Any:
    """What a recipe may extend: a shared beginning and end, or another recipe."""
    shared = {
        path.name.removesuffix(".yaml"): path for path in (files(__package__) / "shared").iterdir()
    }
    file = shared.get(name)
    text = file.read_text("utf-8") if file else source_text(name, among=shared)
    return documents.values(text, where=name)
