"""From the row of a suite's file to a prompt: one small function per suite, no file is opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from string import ascii_uppercase
from typing import Any

from exante.errors import InputError, listed
from exante.exact import marked_number
from exante.records import Kind

Row = Mapping[str, Any]

_ASK_NUMBER = "End with the answer as a number."
_ASK_LETTER = "Answer with the letter of the right option."
_OPTION = re.compile(r"^[^\w\n]*\(?([A-Z])[).:]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a row asks, and what is known about it."""

    text: str
    kind: Kind | None = None
    """None: that of the whole file."""
    facts: dict[str, Any] = field(default_factory=dict)
    plain: str = ""
    """What is asked without context and instructions, where `text` holds more."""
    left: str = ""
    """Why the row is left out unless asked for; empty: it is not."""


Reader = Callable[[Row, str, str], Prompt]
"""Row, column of the prompt, and `file:line` for messages."""


def read_harmbench(row: Row, column: str, where: str) -> Prompt:
    """A behaviour behind its context; copyright rows are marked."""
    category = str(row.get("FunctionalCategory") or "").strip()
    context = str(row.get("ContextString") or "").strip()
    text = text_of(row, column, where)
    return Prompt(
        text=f"{context}\n\n{text}" if context else text,
        kind="harmful",
        facts={"category": category} if category else {},
        plain=text if context else "",
        left="copyright" if category == "copyright" else "",
    )


def read_harmful(row: Row, column: str, where: str) -> Prompt:
    """A suite of harmful requests only."""
    return Prompt(text=text_of(row, column, where), kind="harmful")


def read_plain(row: Row, column: str, where: str) -> Prompt:
    """A suite whose files are of one kind each."""
    return Prompt(text=text_of(row, column, where))


def read_xstest(row: Row, column: str, where: str) -> Prompt:
    """Safe is borderline, a contrast is harmful; older files say so in the type alone."""
    group = str(row.get("type") or "").strip()
    label = str(row.get("label") or "").strip().lower()
    if label not in ("", "safe", "unsafe"):
        raise InputError(
            f"unknown label {label!r:.60}", where=f"{where}: label", fix="safe or unsafe"
        )
    unsafe = label == "unsafe" if label else group.startswith("contrast")
    return Prompt(
        text=text_of(row, column, where),
        kind="harmful" if unsafe else "borderline",
        facts={"category": group} if group else {},
    )


def read_wildjailbreak(row: Row, column: str, where: str) -> Prompt:
    """Harmful or benign as the row says."""
    kinds: dict[str, Kind] = {
        "adversarial_harmful": "harmful",
        "adversarial_benign": "borderline",
    }
    data_type = str(row.get("data_type") or "").strip()
    if data_type not in kinds:
        raise InputError(
            f"unknown data_type {data_type!r:.60}",
            where=f"{where}: data_type",
            fix="give the evaluation file: " + ", ".join(kinds),
        )
    return Prompt(text=text_of(row, column, where), kind=kinds[data_type])


def read_sorry_bench(row: Row, column: str, where: str) -> Prompt:
    """The only turn of a row; mutated styles are marked."""
    turns = row.get(column)
    only = {column: turns[0]} if isinstance(turns, list) and turns else row
    style = str(row.get("prompt_style") or "base").strip()
    return Prompt(
        text=text_of(only, column, where),
        kind="harmful",
        facts={"category": str(row["category"])} if row.get("category") else {},
        left="" if style == "base" else f"style {style}",
    )


def read_gsm8k(row: Row, column: str, where: str) -> Prompt:
    """A word problem; the number behind `####` is the answer."""
    number = marked_number(str(row.get("answer") or ""))
    if number is None:
        raise InputError(
            "no number behind ####", where=f"{where}: answer", fix="give the file as published"
        )
    question = text_of(row, column, where)
    return Prompt(
        text=f"{question}\n{_ASK_NUMBER}",
        kind="capability",
        facts={"exact": "number", "answer": str(number)},
        plain=question,
    )


def read_mmlu(row: Row, column: str, where: str) -> Prompt:
    """A question with lettered options, from a list of choices or inside the question already."""
    question = text_of(row, column, where)
    choices = row.get("choices")
    if isinstance(choices, list) and choices:
        shown = [
            f"({mark}) {choice}" for mark, choice in zip(ascii_uppercase, choices, strict=False)
        ]
        question, options = "\n".join([question, *shown]), len(shown)
    else:
        marks = set(_OPTION.findall(question))
        # Lines of a question may begin with other letters, such as a Roman I.
        options = len(list(takewhile(marks.__contains__, ascii_uppercase)))
    right = row.get("answer")
    if isinstance(right, int) and 0 <= right < options:
        right = ascii_uppercase[right]
    if options < 2 or right not in tuple(ascii_uppercase[:options]):
        raise InputError(
            f"{row.get('answer')!r:.60} is none of {options} options",
            where=f"{where}: answer",
            fix="give the options as a list in `choices`, or as (A) ... in the question",
        )
    return Prompt(
        text=f"{question}\n{_ASK_LETTER}",
        kind="capability",
        facts={"exact": "letter", "answer": right, "options": options},
        plain=question,
    )


def text_of(row: Row, column: str, where: str) -> str:
    """The text in a column.

    Raises:
        InputError: there is no such column, or no text in it.
    """
    if column not in row:
        raise InputError(
            f"no column {column!r}",
            where=where,
            fix=f"columns here: {listed(row)}; name one with --column",
        )
    text = row[column]
    if not isinstance(text, str) or not text.strip():
        raise InputError(
            "the prompt is empty or no text",
            where=f"{where}: {column}",
            fix="give the file as published, or leave the row out",
        )
    return text.strip()


READERS: dict[str, Reader] = {
    "harmbench": read_harmbench,
    "strongreject": read_harmful,
    "advbench": read_harmful,
    "jailbreakbench": read_plain,
    "wildjailbreak": read_wildjailbreak,
    "sorry-bench": read_sorry_bench,
    "xstest": read_xstest,
    "or-bench": read_plain,
    "gsm8k": read_gsm8k,
    "mmlu": read_mmlu,
}
"""Readers by suite."""


def fits(suite: str, columns: tuple[str, ...], row: Row, stem: str) -> bool:
    """Does a file whose first row this is look like one of the suite?

    Where the columns are everybody's, the file's name or the form of the answer decides.
    """
    if not set(columns) <= set(row):
        return False
    answer = row.get("answer")
    if suite == "or-bench":
        return stem.lower().startswith(("or-bench", "or_bench", "orbench"))
    if suite == "gsm8k":
        return isinstance(answer, str) and marked_number(answer) is not None
    if suite == "mmlu":
        is_option = isinstance(answer, int) or (isinstance(answer, str) and len(answer) == 1)
        return is_option and ("choices" in row or bool(_OPTION.search(str(row.get("question")))))
    return True
