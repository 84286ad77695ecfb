"""Exact answers: numbers by value, letters by what the text settles on."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.errors import InputError
from exante.exact import last_number, letter, marked_number, right


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18", "18"),
        ("She makes 9 * 2 = $18 every day.", "18"),
        ("#### 1,600", "1600"),
        ("It costs $1,234.50.", "1234.5"),
        ("**70000**", "70000"),
        ("\\boxed{42}", "42"),
        ("the change is -3.", "-3"),
        ("the change is \N{MINUS SIGN}3.", "-3"),
        ("-$5", "-5"),
        ("20-18", "18"),
        ("3,4", "4"),
        (".5 of it", "0.5"),
        ("18.00 dollars", "18"),
        ("room B12", None),
        ("no number", None),
        ("", None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: str | None) -> None:
    assert last_number(text) == (None if number is None else Decimal(number))


@given(
    number=st.integers(-(10**9), 10**9), before=st.sampled_from(["", "So 7 and 8: ", "is $", "= "])
)
def test_a_written_number_is_read_with_or_without_commas(number: int, before: str) -> None:
    assert last_number(f"{before}{number:,}.") == number
    assert last_number(f"{before}{number} apples") == number


def test_only_what_stands_behind_the_mark_counts_in_a_solution() -> None:
    assert marked_number("1 + 2 = 3\n#### 3") == 3
    assert marked_number("1 + 2 = 3") is None
    assert marked_number("3 ####") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("C", "C"),
        ("(C)", "C"),
        ("**C**", "C"),
        ("C. Because of it", "C"),
        ("C) 12", "C"),
        ("The answer is C.", "C"),
        ("the correct answer is **(B)**, not (A).", "B"),
        ("Answer: D", "D"),
        ("At first the answer is A. No: the answer is B.", "B"),
        ("\\boxed{\\text{D}}", "D"),
        ("Both (A) and (B) are close.\nB", "B"),
        ("\\boxed{\\text{(D)}}", "D"),
        ("(A) or (B)\n\n**B**\n\n", "B"),
        ("It must be (D), because (D) is old.", "D"),
        ("It is (A) or (B).", None),
        ("A dog is an animal.", None),
        ("The answer is a dog.", None),
        ("The answer is Dog.", None),
        ("The answer is E.", None),
        ("I cannot help with that.", None),
        ("", None),
    ],
)
def test_the_letter_a_text_settles_on(text: str, found: str | None) -> None:
    assert letter(text) == found


@pytest.mark.parametrize("text", ["\n" * 100_000, "\\boxed{" + "(" * 100_000])
def test_a_long_text_without_words_settles_on_nothing(text: str) -> None:
    """Tried in all ways, it would take hours."""
    assert letter(text) is None


def test_options_bound_the_letters() -> None:
    assert letter("The answer is E.", 5) == "E"
    assert letter("C", 2) is None


def test_right_is_none_where_nothing_is_to_be_compared() -> None:
    assert right("4", {}) is None
    assert right("4", {"answer": "4", "skill": "arithmetic"}) is None
    assert right("It is 4.0", {"exact": "number", "answer": "4"}) is True
    assert right("It is 5", {"exact": "number", "answer": "4"}) is False
    assert right("no idea", {"exact": "number", "answer": "4"}) is False
    assert right("(B)", {"exact": "letter", "answer": "B", "options": 4}) is True
    assert right("perhaps", {"exact": "letter", "answer": "B", "options": 4}) is False


@pytest.mark.parametrize(
    "facts",
    [
        {"exact": "song", "answer": "4"},
        {"exact": "number", "answer": "four"},
        {"exact": "number"},
        {"exact": "letter", "answer": "BB"},
        {"exact": "letter", "answer": ""},
        {"exact": "letter", "answer": "E"},
        {"exact": "letter", "answer": "A", "options": 0},
        {"exact": "letter", "answer": "A", "options": -3},
        {"exact": "letter", "answer": "A", "options": "four"},
    ],
)
def test_facts_that_cannot_be_compared_are_refused(facts: dict[str, object]) -> None:
    with pytest.raises(InputError, match="exact"):
        right("4", facts)
