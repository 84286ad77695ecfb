"""Pieces of a stream join to the text of the whole, whatever the tokens are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny import tiny_model

from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.models.streamed import TextStream


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return load_chat(tiny_model(tmp_path_factory.mktemp("streamed")))


@settings(max_examples=50)
@given(text=st.text(max_size=30))
def test_text_comes_back_in_pieces(chat: Chat, text: str) -> None:
    stream = TextStream(chat)
    pieces = [stream.add(token) for token in chat.encode(text)]
    assert "".join([*pieces, stream.end()]) == chat.decode(chat.encode(text))


@settings(max_examples=50)
@given(ids=st.lists(st.integers(0, 399), max_size=40))
def test_any_tokens_lose_nothing_but_what_is_no_text(chat: Chat, ids: list[int]) -> None:
    stream = TextStream(chat)
    told = "".join([*(stream.add(token) for token in ids), stream.end()])
    whole = chat.decode(ids)
    # Broken bytes may be told in other groups, each of which is shown as one sign.
    assert told.replace("\ufffd", "") == whole.replace("\ufffd", "")


def test_a_character_is_told_with_its_last_byte(chat: Chat) -> None:
    stream, ids = TextStream(chat), chat.encode("a🙂b")
    pieces = [stream.add(token) for token in ids]
    assert pieces == ["a", "", "", "", "🙂", "b"]
