"""Rows of supervised fine-tuning look as turns do when they are sampled."""

from __future__ import annotations

import pytest
from tests.tiny import tiny_model

from exante import traces
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.records import Message
from exante.stages.sft import as_sampled

ASKED = (Message(role="user", content="How do I do this?"),)
TRACED = "<think><assess>this</assess><calibrate>comply</calibrate></think>I do."


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return load_chat(tiny_model(tmp_path_factory.mktemp("sft")))


def test_an_opened_trace_is_learned_from_where_the_runtime_leaves_off(chat: Chat) -> None:
    row = as_sampled("a", ASKED, TRACED, chat, opened=True)
    opening = chat.encode(traces.opening(chat.tag))
    assert row.prompt_ids == (*chat.prompt_ids(ASKED), *opening)
    assert chat.decode(row.response_ids) == TRACED.removeprefix("<think><assess>")
    assert row.response_ids[-1] == chat.eos_id


@pytest.mark.parametrize(("text", "opened"), [(TRACED, False), ("I do.", True)])
def test_else_the_whole_turn_is_learned(chat: Chat, text: str, opened: bool) -> None:
    row = as_sampled("a", ASKED, text, chat, opened=opened)
    assert row.prompt_ids == chat.prompt_ids(ASKED)
    assert chat.decode(row.response_ids) == text
