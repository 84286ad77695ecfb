"""A model in another tool's hands: the trace apart, the prefill honoured, no half answer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.taught import FINE, REFUSAL, TRACE, TURNS

from exante import integrations, traces
from exante.errors import InputError
from exante.integrations.assistant import Ask, Assistant, Turn, cut
from exante.models.folders import mark_trace
from exante.models.sample import SamplingSettings
from exante.records import Message


@pytest.fixture(scope="module")
def assistant(taught: Path) -> Assistant:
    return Assistant(str(taught), trace="open")


def asking(text: str, prefill: str = "", name: str = "q") -> Ask:
    return Ask(name, (Message(role="user", content=text),), prefill)


def turn(assistant: Assistant, text: str, prefill: str = "", most: int = 120) -> Turn:
    ((found,),) = assistant.answer([asking(text, prefill)], SamplingSettings(max_new_tokens=most))
    return found


def test_trace_and_answer_come_apart_and_every_token_is_counted(assistant: Assistant) -> None:
    found = turn(assistant, "What is this?")
    assert (found.trace, found.answer, found.written) == (TRACE, FINE, FINE)
    assert found.finish == "stop"
    stated = traces.parse(f"<think>{TRACE}</think>").trace
    assert stated is not None
    assert (found.decision, found.cited) == (stated.decision, stated.cited)
    # The last token ends the turn and belongs to neither part.
    assert found.trace_tokens + found.answer_tokens + 1 == found.turn_tokens
    assert found.answer_tokens == len(assistant.chat.encode(FINE))
    prompt = assistant.chat.prompt_ids([Message(role="user", content="What is this?")])
    assert found.prompt_tokens == len(prompt)


def test_chats_that_are_asked_together_are_answered_in_order(assistant: Assistant) -> None:
    asks = [asking(text, name=text) for text in ("How do I do this?", "What is this?")]
    turns = assistant.answer(asks, SamplingSettings(max_new_tokens=120, n=2))
    assert [[t.answer for t in each] for each in turns] == [[REFUSAL] * 2, [FINE] * 2]
    with pytest.raises(InputError, match="share an id"):
        assistant.answer([asks[0], asks[0]], SamplingSettings())


@pytest.mark.parametrize("words", [1, 2])
def test_an_answer_prefill_is_part_of_the_answer_and_not_of_what_was_written(
    assistant: Assistant, words: int
) -> None:
    prefill = " ".join(FINE.split()[:words])
    found = turn(assistant, "What is this?", prefill)
    assert found.trace is None
    assert found.answer == prefill + found.written
    assert found.prompt_tokens == turn(assistant, "What is this?").prompt_tokens + len(
        assistant.chat.encode(prefill)
    )


def test_a_closed_trace_in_the_prefill_is_the_trace(assistant: Assistant) -> None:
    prefill = f"<think>{TRACE}</think>Here"
    found = turn(assistant, "What is this?", prefill)
    assert found.trace == TRACE
    assert found.answer == "Here" + found.written == FINE
    assert turn(assistant, "What is this?", f"<think>{TRACE}").answer == FINE


def test_no_half_answer_leaves_the_function(assistant: Assistant) -> None:
    endless = turn(assistant, "Say nothing.")
    assert (endless.finish, endless.answer, endless.written) == ("stop", None, "")
    assert endless.trace == TURNS["Say nothing."].removeprefix("<think>")
    long = turn(assistant, "Say it all.", most=60)
    assert long.finish == "length"
    assert long.written.startswith("and so on")
    assert assistant.reply("What is this?") == FINE
    assert assistant.reply("Say nothing.") == ""
    assert assistant.reply("Say it all.", max_new_tokens=60) == ""


def test_a_prompt_longer_than_the_model_is_a_mistake_with_a_name(assistant: Assistant) -> None:
    with pytest.raises(InputError, match="2048 tokens the model reads"):
        turn(assistant, "word " * 3000)
    assert assistant.room(asking("word " * 3000)) < 1


def test_traces_are_opened_for_models_that_were_taught_them(taught: Path, tmp_path: Path) -> None:
    assert not Assistant(str(taught)).opens
    assert Assistant(str(taught), trace="open").opens
    for trace in ("open", "free"):
        folder = shutil.copytree(taught, tmp_path / trace)
        mark_trace(folder, trace)
        assert Assistant(str(folder)).opens is (trace == "open")
    with pytest.raises(InputError, match="known: auto, open, free"):
        Assistant(str(taught), trace="maybe")


def test_a_missing_extra_says_how_to_install_it() -> None:
    integrations.require("pytest", "dev")
    with pytest.raises(InputError, match=r"pip install 'exante\[inspect\]'"):
        integrations.require("inspect_ai_that_is_nowhere", "inspect")


@given(st.text(), st.lists(st.text(max_size=3), max_size=3))
def test_what_is_cut_begins_the_text_and_holds_no_stop_string(text: str, stops: list[str]) -> None:
    found, stopped = cut(text, stops)
    assert text.startswith(found)
    assert stopped == any(stop and stop in text for stop in stops)
    if stopped:
        assert any(stop and text[len(found) :].startswith(stop) for stop in stops)
    assert not any(stop and stop in found for stop in stops)


def test_the_opening_is_what_training_opens(assistant: Assistant) -> None:
    request = assistant.request(asking("What is this?"))
    assert assistant.chat.decode(request.forced_ids) == traces.opening()
