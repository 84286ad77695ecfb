"""Answers as data: no markup survives, no line looks like a heading, other text is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.quoting import defuse, indented, mark_of, quoted

CONTROL = (
    "<|eot_id|>",
    "<|im_start|>",
    "<|begin_of_text|>",
    "<｜User｜>",
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "[GENERATION]",
    "<BEGIN CONVERSATION>",
    "<END CONVERSATION>",
    "</think>",
)
BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
pieces = st.lists(
    st.sampled_from([*CONTROL, *BREAKS, "<", ">", "|", "[", "]", "a", " ", "User:", "---", "| "])
    | st.text(max_size=3)
).map("".join)


@pytest.mark.parametrize("token", CONTROL)
def test_control_markup_loses_its_brackets_and_stays_readable(token: str) -> None:
    found = defuse(f"a {token} b")
    assert token not in found
    assert found == f"a {token.translate(str.maketrans('<>[]', '()()'))} b"
    assert token.lower() not in defuse(token.upper()).lower()


def test_markup_inside_markup_is_undone_layer_by_layer() -> None:
    assert defuse("<|a<|b|>c|>") == "(|a(|b|)c|)"


@given(pieces)
def test_no_markup_survives_however_it_is_nested(text: str) -> None:
    found = defuse(text)
    assert not any(token in found for token in CONTROL)
    assert defuse(found) == found
    assert not any(mark in found for mark in BREAKS[1:])


@pytest.mark.parametrize(
    "text",
    ["if a < b > c: x[0] = [1]", "<div>\n  <p>see [2]</p>\n</div>", "1 <= 2 | 3 >= 2", "€ 5 → 6"],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert defuse(text) == text


@given(pieces)
def test_every_line_of_a_quotation_stands_behind_its_bar(text: str) -> None:
    found = quoted(text)
    assert all(line.startswith("| ") for line in found.splitlines())


def test_lines_like_headings_are_pushed_in() -> None:
    text = "Agent: no\n  user : yes\nAgents: many\n---\n====\n-- x\nan Agent: inside"
    assert indented(text, ("User", "Agent")).split("\n") == [
        "> Agent: no",
        ">   user : yes",
        "Agents: many",
        "> ---",
        "> ====",
        "-- x",
        "an Agent: inside",
    ]


def test_a_mark_depends_on_every_text_and_on_their_borders() -> None:
    assert mark_of("ab", "c") == mark_of("ab", "c")
    assert len({mark_of("ab", "c"), mark_of("a", "bc"), mark_of("ab", "d"), mark_of("abc")}) == 4
    assert mark_of("\ud800")
