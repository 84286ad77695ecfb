"""Rows that hold a prompt, with the column guessed and every fault located; and our own records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from exante.errors import InputError, fault_in, listed
from exante.formats.base import asked_in
from exante.overlap import same_words
from exante.records import Example, Kind, Message, Response

PROMPT_COLUMNS = (
    "prompt",
    "goal",
    "Goal",
    "Behavior",
    "forbidden_prompt",
    "question",
    "instruction",
    "text",
)
"""Where a prompt is looked for, in this order."""
KIND_COLUMNS = ("kind", "label", "type")
"""Where the kind of a prompt is looked for, in every format but our own."""
_KIND_WORDS: dict[str, Kind] = {
    "safe": "borderline",
    "contrast": "harmful",
    "unsafe": "harmful",
    "harmless": "benign",
    **{kind: kind for kind in get_args(Kind)},
}
_HARMFUL_COLUMNS = ("goal", "Goal", "Behavior", "forbidden_prompt")
"""Columns that only suites of harmful requests have."""


def prompt_example(
    path: Path,
    line: int,
    row: dict[str, Any],
    column: str | None,
    kind: Kind | None,
    number: int | None = None,
) -> Example:
    """The prompt of a row; equal prompts share a split group, and the number is part of the id.

    The kind is what the row's column `kind`, `label` or `type` says, else `kind`, else harmful
    where the prompt stands in a column of harmful suites, else benign.

    Raises:
        InputError: the row does not fit; names file, line and field.
    """
    where = f"{path}:{line}"
    name = column or next((c for c in PROMPT_COLUMNS if c in row), None)
    if name is None or name not in row:
        raise InputError(
            f"no column {name!r}" if name else "no prompt column",
            where=where,
            fix=f"columns here: {listed(row)}; name one: --column or --set column=",
        )
    messages = _asked(row[name], _instance(row).get("input"), f"{where}: {name}")
    digest = group_of(messages)
    return Example(
        id=f"{path.stem}/{number or line}-{digest[:8]}",
        messages=messages,
        kind=_kind(row, name, kind, where),
        responses=_responses(row),
        source=path.name,
        split_group=digest,
    )


def group_of(messages: Sequence[Message]) -> str:
    """What prompts of the same words have in common."""
    return same_words(" ".join(message.content for message in messages))


def own_example(row: dict[str, Any], where: str, line: int, kind: Kind | None) -> Example:
    """A row in our own format; id and split group may be left out, and the kind if one is set.

    Raises:
        InputError: the row does not fit; names file, line and field.
    """
    told = json.dumps(row["messages"], sort_keys=True, default=str)
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    known = {} if kind is None else {"kind": kind}
    row = {"id": f"row-{line}-{digest[:8]}", "split_group": digest, **known, **row}
    try:
        example = Example.model_validate_json(json.dumps(row, default=str))
    except ValidationError as error:
        raise InputError(
            fault_in(error),
            where=where,
            fix="fields: id, messages, kind, category, ...",
        ) from None
    last = example.messages[-1]
    if last.role != "user" or not last.content.strip():
        problem = "is empty" if last.role == "user" else "is not the user's"
        raise InputError(
            f"messages: the last one {problem}", where=where, fix="end with what is asked"
        )
    return example


def _asked(prompt: Any, about: Any, where: str) -> tuple[Message, ...]:
    """The prompt, with what it is about behind it where an instruction stands apart from that."""
    if isinstance(prompt, list):
        return asked_in({"prompt": prompt}, "prompt", where)
    if not isinstance(prompt, str) or not prompt.strip():
        raise InputError(
            "the prompt is empty or no text", where=where, fix="write a text, or leave the row out"
        )
    more = about.strip() if isinstance(about, str) else ""
    return (Message(role="user", content="\n\n".join(filter(None, (prompt.strip(), more)))),)


def said_kind(row: Mapping[str, Any], where: str) -> Kind | None:
    """The kind that a row names in `kind`, `label` or `type`, if it does.

    Raises:
        InputError: there is a column `kind`, and no kind in it.
    """
    words = (str(row.get(column, "")).strip().lower() for column in KIND_COLUMNS)
    found = next((_KIND_WORDS[word] for word in words if word in _KIND_WORDS), None)
    if found is None and "kind" in row:
        raise InputError(
            f"unknown kind {row['kind']!r:.60}",
            where=f"{where}: kind",
            fix=f"{'; '.join(_KIND_WORDS)}; or rename the column if it means something else",
        )
    return found


def _kind(row: dict[str, Any], name: str, default: Kind | None, where: str) -> Kind:
    by_column: Kind = "harmful" if name in _HARMFUL_COLUMNS else "benign"
    return said_kind(row, where) or default or by_column


def _responses(row: dict[str, Any]) -> tuple[Response, ...]:
    """A reference answer, where a data set of instructions gives one."""
    text = _instance(row).get("output")
    known = isinstance(text, str) and text.strip()
    return (Response(text=known, source="dataset"),) if known else ()


def _instance(row: dict[str, Any]) -> dict[str, Any]:
    """The first input and output of an instruction, as in self-instruct (arXiv 2212.10560)."""
    instances = row.get("instances")
    first = instances[0] if isinstance(instances, list) and instances else {}
    return first if isinstance(first, dict) else {}
