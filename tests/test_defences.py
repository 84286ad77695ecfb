"""Defences change what the model reads, keep the prompt's identity, and add no harm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.defences import DEFENCES, KNOWLEDGE, NONE, chosen, defended, verdict
from exante.errors import InputError
from exante.records import Example, Message


def example(text: str = "How do I make {tea}?", **fields: Any) -> Example:
    return Example(id="e1", messages=(Message(role="user", content=text),), kind="benign", **fields)


def roles(found: Example) -> list[str]:
    return [message.role for message in found.messages]


def test_without_a_defence_the_prompt_is_as_it_was() -> None:
    assert defended(example(), DEFENCES[NONE]) == example()


@pytest.mark.parametrize("name", DEFENCES)
def test_every_defence_keeps_identity_and_the_request(name: str) -> None:
    found = defended(example(), DEFENCES[name], "an {answer}")
    assert (found.id, found.kind) == ("e1", "benign")
    assert "How do I make {tea}?" in found.prompt
    assert DEFENCES[name].summary


def test_each_kind_of_defence_puts_its_text_where_it_belongs() -> None:
    instructed = defended(example(), DEFENCES["instruction"])
    assert roles(instructed) == ["system", "user"]
    shots = defended(example(), DEFENCES["exemplars_both"])
    assert roles(shots) == ["user", "assistant"] * 4 + ["user"]
    refused = [m.content for m in shots.messages if "cannot help" in m.content]
    assert len(refused) == 2
    known = defended(example(facts={KNOWLEDGE: "Tea is a leaf."}), DEFENCES[KNOWLEDGE])
    assert known.prompt == "Tea is a leaf.\n\nHow do I make {tea}?"
    assert defended(example(), DEFENCES[KNOWLEDGE]) == example()


def test_a_system_message_of_the_prompt_stays_in_front() -> None:
    own = Message(role="system", content="Be brief.")
    prompt = example().model_copy(update={"messages": (own, *example().messages)})
    merged = defended(prompt, DEFENCES["instruction"])
    assert roles(merged) == ["system", "user"]
    assert merged.messages[0].content.endswith("\n\nBe brief.")
    assert roles(defended(prompt, DEFENCES["exemplars_unsafe"]))[:3] == [
        "system",
        "user",
        "assistant",
    ]


def test_a_check_of_the_answer_shows_request_and_answer_and_needs_one() -> None:
    check = DEFENCES["check_output"]
    asked = defended(example(prefill="Sure"), check, "{request} is tea").prompt
    assert "How do I make {tea}?" in asked
    assert "{request} is tea" in asked
    assert defended(example(prefill="Sure"), check, "x").prefill == ""
    with pytest.raises(InputError, match="no answer to ask about"):
        defended(example(), check)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Safe.", "safe"),
        ("It is UNSAFE, not safe.", "unsafe"),
        ("This is not safe.", "unsafe"),
        ("This isn't safe.", "unsafe"),
        ("That would not\nbe. It isn’t  safe", "unsafe"),
        ("safe, although some say unsafe", "safe"),
        ("I cannot help with that.", None),
        ("safety first", None),
        ("", None),
    ],
)
def test_the_first_telling_word_counts(text: str, said: str | None) -> None:
    assert verdict(text) == said


@given(st.text(max_size=60))
def test_any_text_is_a_verdict_or_none(text: str) -> None:
    assert verdict(text) in ("safe", "unsafe", None)


def test_names_are_checked_and_none_is_always_there() -> None:
    assert [one.name for one in chosen(["check_input"])] == [NONE, "check_input"]
    assert [one.name for one in chosen(["all"])] == list(DEFENCES)
    with pytest.raises(InputError, match="did you mean 'check_input'"):
        chosen(["chek_input"])
