"""YAML files that people write, as models of pydantic: what does not fit is named with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from exante.errors import InputError, said

Place = tuple[str | int, ...]
"""Way to a field from the top of the file: keys and indices."""
_Model = TypeVar("_Model", bound=BaseModel)


def read(path: Path, model: type[_Model], *, fix: str) -> _Model:
    """The document in a file; `fix` says where its form is described.

    Raises:
        InputError: no such file, no YAML, or a document of another form; names line and field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), fix=fix) from None
    return parse(text, model, where=str(path), fix=fix)


def parse(text: str, model: type[_Model], *, where: str, fix: str) -> _Model:
    """The document in a text; `where` is its name in messages.

    A validator that raises `PydanticCustomError` with a `place` in its context names that line.

    Raises:
        InputError: as `read`.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        raise _not_yaml(error, where) from None
    if not isinstance(root, yaml.MappingNode):
        raise InputError("holds no mapping of fields", where=where, fix=fix)
    for key in _repeated_keys(root, set()):
        line = key.start_mark.line + 1
        raise InputError(
            f"{key.value}: stands twice in one mapping", where=f"{where}:{line}", fix="drop one"
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _unfit(error, root, where, fix) from None


def _not_yaml(error: yaml.YAMLError | ValueError, where: str) -> InputError:
    mark = getattr(error, "problem_mark", None)
    place = f"{where}:{mark.line + 1}" if mark else where
    problem = getattr(error, "problem", None) or str(error)
    return InputError(f"is no YAML: {problem}", where=place, fix="mend that line")


def _unfit(error: ValidationError, root: yaml.Node, where: str, fix: str) -> InputError:
    """The first thing that does not fit; unknown fields go first, for a typo also lacks a field."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    place: Place = tuple(first.get("ctx", {}).get("place", first["loc"]))
    field = ".".join(map(str, place))
    return InputError(
        f"{field}: {said(first['msg'])}" if field else said(first["msg"]),
        where=f"{where}:{_line(root, place)}",
        fix=fix,
    )


def _repeated_keys(node: yaml.Node, visited: set[int]) -> Iterator[yaml.ScalarNode]:
    """Keys that YAML would silently let win over an earlier one of the same mapping."""
    if id(node) in visited:  # an alias, perhaps of a part that holds itself
        return
    visited.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item, visited)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key
            seen.add(key.value)
            yield from _repeated_keys(value, visited)


def _line(root: yaml.Node, place: Place) -> int:
    """Line of the deepest part of `place` that the file has, counted from 1."""
    node, line = root, root.start_mark.line
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [(key, value) for key, value in node.value if key.value == part]
            if not pairs:
                break
            line, node = pairs[0][0].start_mark.line, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line
    return line + 1
