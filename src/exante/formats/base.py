"""What a row of a data set says, and readers of single fields; no file is opened here.

Texts lose white space at their ends. A label that is missing is None, never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from exante.errors import InputError, listed
from exante.records import Kind, Message, Response

Row = Mapping[str, Any]
Preference = Literal["better", "safer"]
"""What it means to be chosen: more useful, or safer."""

_ROLES = ("system", "user", "assistant")
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Content:
    """What a row says; where it stands makes an example of it."""

    messages: tuple[Message, ...]
    responses: tuple[Response, ...] = ()
    better: int | None = None
    safer: int | None = None
    kind: Kind | None = None
    """None: that of the file, or what the labels say."""
    facts: dict[str, Any] = field(default_factory=dict)
    misfits: tuple[str, ...] = ()
    """What of the row has no place in a record, or was filled in."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are meant, where they do not say it."""

    prefers: Preference = "better"
    """What `chosen` means."""
    kind: Kind | None = None
    """Kind of prompts that do not say theirs."""


Reader = Callable[[Row, str, Reading], Content]
"""Row, and `file:line` for messages."""


@dataclass(frozen=True, slots=True)
class Format:
    """One way of writing prompts, answers and labels down."""

    name: str
    about: str
    """For a list: columns, and what they mean."""
    columns: tuple[str, ...]
    """All that is read."""
    fits: Callable[[Row], bool]
    """Do these columns belong to it?"""
    read: Reader | None = None
    """None: prompts alone and our own records, of which a row makes an example at once."""


def text_in(row: Row, name: str, where: str) -> str:
    """The text of a field, which may be empty.

    Raises:
        InputError: there is no such field, or no text in it.
    """
    if name not in row:
        raise InputError(
            f"no column {name!r}",
            where=where,
            fix=f"columns here: {listed(row)}; map one with --column {name}=COLUMN",
        )
    value = row[name]
    if not isinstance(value, str):
        raise InputError(
            f"{type(value).__name__} in the place of a text",
            where=f"{where}: {name}",
            fix="write a text, in quotes, or leave the row out",
        )
    return value.strip()


def asked_in(row: Row, name: str, where: str) -> tuple[Message, ...]:
    """The prompt of a field: one text, or a chat that ends with the user's turn.

    Raises:
        InputError: there is none, or it is empty.
    """
    if isinstance(row.get(name), list):
        messages = chat_in(row[name], f"{where}: {name}")
        return ending_with_user(messages, f"{where}: {name}")
    text = text_in(row, name, where)
    if not text:
        raise InputError(
            "the prompt is empty",
            where=f"{where}: {name}",
            fix="write what is asked, or leave the row out",
        )
    return (Message(role="user", content=text),)


def answered_in(row: Row, name: str, where: str) -> str:
    """The answer of a field: one text, or a chat of one turn of the assistant's.

    Raises:
        InputError: there is none.
    """
    if isinstance(row.get(name), list):
        return only_answer(chat_in(row[name], f"{where}: {name}"), f"{where}: {name}")
    return text_in(row, name, where)


def chat_in(value: Any, where: str) -> tuple[Message, ...]:
    """Turns from a list of objects with `role` and `content`.

    Raises:
        InputError: it is none.
    """
    fix = 'a list of {"role": "user", "content": "..."}; roles: ' + ", ".join(_ROLES)
    if not isinstance(value, list) or not value:
        raise InputError("no list of turns", where=where, fix=fix)
    for turn in value:
        role = turn.get("role") if isinstance(turn, dict) else None
        if role not in _ROLES or not isinstance(turn.get("content"), str):
            raise InputError(f"no turn with a text: role {role!r:.60}", where=where, fix=fix)
    return tuple(Message(role=turn["role"], content=turn["content"].strip()) for turn in value)


def only_answer(messages: Sequence[Message], where: str) -> str:
    """The text of the one turn there is, the assistant's.

    Raises:
        InputError: there is something else.
    """
    if [message.role for message in messages] != ["assistant"]:
        found = ", ".join(message.role for message in messages) or "nothing"
        raise InputError(
            f"{found} in the place of one turn of the assistant's",
            where=where,
            fix="all turns but the last answer belong to the prompt, and are the same in both",
        )
    return messages[0].content


def apart(
    good: tuple[Message, ...], bad: tuple[Message, ...], where: str
) -> tuple[tuple[Message, ...], str, str]:
    """Prompt and answers of two chats that are the same but for their last turn.

    Raises:
        InputError: they are not.
    """
    prompt = good[:-1]
    if prompt != bad[:-1]:
        raise InputError(
            "the two chats differ before their last turn",
            where=where,
            fix="give both answers to the same prompt",
        )
    return (
        ending_with_user(prompt, where),
        only_answer(good[-1:], f"{where}: chosen"),
        only_answer(bad[-1:], f"{where}: rejected"),
    )


def flag_in(row: Row, name: str, where: str) -> bool | None:
    """A label that is true or false, None where it is missing.

    Raises:
        InputError: it is something else.
    """
    value = row.get(name)
    if value is None or value == "":
        return None
    known = _FLAGS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None
    if known is None:
        raise InputError(
            f"{value!r:.60} is neither true nor false",
            where=f"{where}: {name}",
            fix="true, false, 1 or 0; empty for a label that is missing",
        )
    return known


def number_in(row: Row, name: str, where: str) -> float | None:
    """A finite number, None where it is missing.

    Raises:
        InputError: it is something else.
    """
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise InputError(
            f"{value!r:.60} is no number",
            where=f"{where}: {name}",
            fix="a finite number; empty for a label that is missing",
        )
    return found


def place_in(row: Row, name: str, where: str, count: int) -> int | None:
    """Which of `count` responses, None where it is missing.

    Raises:
        InputError: there is no such response.
    """
    found = number_in(row, name, where)
    if found is None:
        return None
    if found not in range(count):
        raise InputError(
            f"{found:g} is no place of a response",
            where=f"{where}: {name}",
            fix=f"0 to {count - 1}; empty for a label that is missing",
        )
    return int(found)


def unique_best(values: Sequence[float | None]) -> int | None:
    """Place of the one largest value; None if one is missing or two are the largest."""
    known = [value for value in values if value is not None]
    if len(known) < max(2, len(values)) or known.count(max(known)) > 1:
        return None
    return known.index(max(known))


def ending_with_user(messages: tuple[Message, ...], where: str) -> tuple[Message, ...]:
    """The messages themselves.

    Raises:
        InputError: the last one is not the user's, or empty.
    """
    if not messages or messages[-1].role != "user" or not messages[-1].content:
        raise InputError(
            "the prompt does not end with what the user asks",
            where=where,
            fix="put the user's turn last, and answers into a field of their own",
        )
    return messages
