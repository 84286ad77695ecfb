"""Answers that are right or wrong without an opinion: the last number, or the letter of an option.

Pure. What is asked for stands in a prompt's facts: `exact` is `number` or `letter`, `answer` is
what is right, and `options` is how many letters there are, 4 if it is absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from string import ascii_uppercase
from typing import Any

from exante.errors import InputError

_NUMBER = re.compile(r"(?<![\w.])(-?)[$€£]?(\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(\.\d+)?")
_MARK = "####"
"""Stands before the answer in GSM8K (arXiv 2110.14168, section 2)."""


def right(answer: str, facts: Mapping[str, Any]) -> bool | None:
    """Is the answer the one that the facts know? None: the facts name no exact form.

    A number is compared by value with the last number of the answer, as is usual for GSM8K.

    Raises:
        InputError: the form is unknown, or the right answer is missing or not of the form.
    """
    form = facts.get("exact")
    if form is None:
        return None
    expected = str(facts.get("answer", ""))
    if form == "number" and (number := last_number(expected)) is not None:
        return last_number(answer) == number
    options = facts.get("options", 4)
    known = isinstance(options, int) and 1 <= options <= len(ascii_uppercase)
    if form == "letter" and known and expected in list(ascii_uppercase[:options]):
        return letter(answer, options) == expected
    raise InputError(
        f"a prompt asks for the exact {form} {expected!r}",
        where="facts",
        fix="`exact` is number or letter, `answer` one of these, and `options` (1 to 26) how many "
        "letters there are",
    )


def last_number(text: str) -> Decimal | None:
    """The last number of a text, with commas between thousands or none; None without any."""
    plain = text.replace("\N{MINUS SIGN}", "-")
    found = [match for match in _NUMBER.finditer(plain) if match[2] or match[3]]
    if not found:
        return None
    sign, whole, fraction = found[-1].groups(default="")
    return Decimal(f"{sign}{whole.replace(',', '') or '0'}{fraction}")


def marked_number(text: str) -> Decimal | None:
    """The number behind the last `####` of a worked solution; None if there is none."""
    _, mark, behind = text.rpartition(_MARK)
    return last_number(behind) if mark else None


def letter(text: str, options: int = 4) -> str | None:
    """The option that a text settles on, as a capital letter; None if that cannot be told.

    Tried in order: behind "answer is" and the like (the last of them), boxed, alone on a line (the
    last), at the very start before a mark, and in brackets if only one letter is ever bracketed.
    """
    for pattern, place in _patterns(ascii_uppercase[:options]):
        found = pattern.findall(text)
        if place == "only" and len(set(found)) > 1:
            return None
        if found:
            return str(found[-1])
    return None


@lru_cache
def _patterns(letters: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    one = rf"([{letters}])"
    led = rf"(?i:\b(?:answer|option|choice)(?:\s+is)?)\W{{0,6}}{one}(?![\w'’])"
    boxed = rf"\\boxed\{{\W*(?:text\{{\W*)?{one}\W*\}}"
    alone = rf"(?m)^[^\w\n]*{one}[^\w\n]*$"
    start = rf"\A\W*{one}[).:,]"
    bracketed = rf"\({one}\)"
    return (
        (re.compile(led), "last"),
        (re.compile(boxed), "last"),
        (re.compile(alone), "last"),
        (re.compile(start), "last"),
        (re.compile(bracketed), "only"),
    )
