"""YAML files that people write, as models of pydantic: what does not fit is named with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, RootModel, ValidationError
from yaml.composer import ComposerError

from exante.errors import InputError, nearest, said

Place = tuple[str | int, ...]
"""Way to a field from the top of the file: keys and indices."""
_Model = TypeVar("_Model", bound=BaseModel)

_MOST_CHARACTERS = 4 << 20
_MOST_VALUES = 200_000
"""Of a document with its aliases written out; nine lines of them can stand for a billion."""
_DEEPEST = 100
_SHOWN = 200
_UNBUILT = (
    ValueError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    TypeError,
)
"""What PyYAML lets through for a date that does not exist, `!!int ''`, `!!bool x`, `!!timestamp x`,
an escape beyond Unicode, and a key that cannot be one."""


def read(path: Path, model: type[_Model], *, fix: str) -> _Model:
    """The document in a file; `fix` says where its form is described.

    Raises:
        InputError: no such file, no YAML, or a document of another form; names line and field.
    """
    return parse(text_of(path, fix=fix), model, where=str(path), fix=fix)


def text_of(path: Path, *, fix: str) -> str:
    """The text of a file.

    Raises:
        InputError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"is no UTF-8 text: {error}", where=str(path), fix="save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise InputError(f"cannot be read: {error}", where=str(path), fix=fix) from None


def parse(text: str, model: type[_Model], *, where: str, fix: str) -> _Model:
    """The document in a text; `where` is its name in messages.

    A validator that raises `PydanticCustomError` with a `place` in its context names that line.

    Raises:
        InputError: as `read`.
    """
    root, content = _loaded(text, where)
    if not isinstance(root, yaml.MappingNode):
        raise InputError("holds no mapping of fields", where=where, fix=fix)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _unfit(error, root, model, where, fix) from None


def known_fields(model: type[BaseModel], place: Place) -> set[str]:
    """Fields that may stand where the last part of `place` does, in every type it may be of."""
    models = _models_in(model)
    for part in place[:-1]:
        # Indices, keys of mappings and names of a union's types are no fields: they lead no deeper.
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        if fields:
            models = {inner for field in fields for inner in _models_in(field.annotation)}
    return {name for model in models for name in model.model_fields}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    """Models that a value of this type may hold, lists and unions opened."""
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return _models_in(annotation.model_fields["root"].annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for inner in get_args(annotation) for model in _models_in(inner)}


def values(text: str, *, where: str) -> Any:
    """What a YAML text holds, whatever its form; None where it is empty.

    Raises:
        InputError: it is no YAML, a key stands twice in one mapping, or it is larger than anything
            that a person writes; names the line.
    """
    return _loaded(text, where)[1]


def _loaded(text: str, where: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a text, which know their lines, and the values they stand for."""
    if len(text) > _MOST_CHARACTERS:
        raise InputError(
            f"has {len(text)} characters, more than {_MOST_CHARACTERS}",
            where=where,
            fix="give a document that a person wrote",
        )
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, None
        _require_plain(root, where)
        return root, loader.construct_document(root)
    except yaml.YAMLError as error:
        raise _not_yaml(error, text, where) from None
    except _UNBUILT as error:
        raise InputError(
            f"is no YAML: a value does not fit its form ({str(error)[:_SHOWN]})",
            where=f"{where}:{loader.line_at_work if loader else 1}",
            fix="mend that line, or put the value in quotes",
        ) from None
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """Knows at which line it is, also while it makes values of nodes."""

    _built: yaml.Node | None = None
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As the base class, which would go on until the interpreter stops it."""
        self._depth += 1
        if self._depth > _DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, f"nested more than {_DEEPEST} levels deep", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    @property
    def line_at_work(self) -> int:
        """Counted from 1."""
        return 1 + (self._built.start_mark.line if self._built else self.line)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the base class; the node is kept for messages."""
        self._built = node
        return super().construct_object(node, deep)


def _not_yaml(error: yaml.YAMLError, text: str, where: str) -> InputError:
    mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
    line = mark.line + 1 if mark else None
    if line is None and isinstance(position, int):
        line = text.count("\n", 0, position) + 1
    said_where = (getattr(error, "context", None), getattr(error, "problem", None))
    problem = ", ".join(filter(None, said_where)) or str(error).splitlines()[0]
    return InputError(
        f"is no YAML: {problem}", where=f"{where}:{line}" if line else where, fix="mend that line"
    )


def _unfit(
    error: ValidationError, root: yaml.Node, model: type[BaseModel], where: str, fix: str
) -> InputError:
    """The first thing that does not fit; unknown fields go first, for a typo also lacks a field."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    place: Place = tuple(first.get("ctx", {}).get("place", first["loc"]))
    field = ".".join(map(str, place))
    if first["type"] == "extra_forbidden":
        fix = f"{nearest(str(place[-1]), known_fields(model, place))}; {fix}"
    return InputError(
        f"{field}: {said(first['msg'])}" if field else said(first["msg"]),
        where=f"{where}:{_line(root, place)}",
        fix=fix,
    )


def _require_plain(root: yaml.Node, where: str) -> None:
    """Refuse what is YAML and no document: keys given twice, parts that hold themselves, bombs.

    Raises:
        InputError: names the line.
    """
    sizes: dict[int, int] = {}
    for node, below in _from_the_leaves(root, where):
        sizes[id(node)] = 1 + sum(sizes[id(one)] for one in below)
        line = f"{where}:{node.start_mark.line + 1}"
        if sizes[id(node)] > _MOST_VALUES:
            raise InputError(
                f"stands for more than {_MOST_VALUES} values with its aliases written out",
                where=line,
                fix="write out what is meant, without aliases (*name)",
            )
        if isinstance(node, yaml.MappingNode):
            _require_single_keys(node, where)
        elif isinstance(node, yaml.ScalarNode) and any(
            "\ud800" <= c <= "\udfff" for c in node.value
        ):
            raise InputError(
                "holds half a character (a lone surrogate)",
                where=line,
                fix="leave it out of the text",
            )


def _from_the_leaves(root: yaml.Node, where: str) -> Iterator[tuple[yaml.Node, list[yaml.Node]]]:
    """Every node once, behind all that it holds, and what it holds."""
    done: set[int] = set()
    above: set[int] = set()
    waiting = [(root, False)]
    while waiting:
        node, seen = waiting.pop()
        below = _parts(node)
        if seen:
            above.discard(id(node))
            done.add(id(node))
            yield node, below
        elif id(node) in above:
            raise InputError(
                "holds itself (an alias of a part that it stands in)",
                where=f"{where}:{node.start_mark.line + 1}",
                fix="write out what is meant, without aliases (*name)",
            )
        elif id(node) not in done:
            above.add(id(node))
            waiting += [(node, True), *((one, False) for one in below)]


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _require_single_keys(node: yaml.MappingNode, where: str) -> None:
    """Refuse keys that YAML would silently let win over an earlier one of the same mapping."""
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(
                "a list or mapping in the place of a field's name",
                where=f"{where}:{key.start_mark.line + 1}",
                fix="name fields by words",
            )
        if key.value in seen:
            raise InputError(
                f"{key.value}: stands twice in one mapping",
                where=f"{where}:{key.start_mark.line + 1}",
                fix="drop one",
            )
        seen.add(key.value)


def _line(root: yaml.Node, place: Place) -> int:
    """Line of the deepest part of `place` that the file has, counted from 1."""
    node, line = root, root.start_mark.line
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [(key, value) for key, value in node.value if key.value == str(part)]
            if not pairs:
                break
            line, node = pairs[0][0].start_mark.line, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line
    return line + 1
