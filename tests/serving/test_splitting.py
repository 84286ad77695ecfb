"""A text in any pieces is split as it is in the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante import traces
from exante.serving.splitting import Splitter

WORDS = ["<think>", "</think>", "<", "think>", " ", "\n", "a", "</", "<assess>", "STOP", "ST", "b."]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12)


def split(pieces: list[str], stops: tuple[str, ...] = ()) -> tuple[str, str, Splitter]:
    splitter = Splitter("think", stops)
    deltas = [*(splitter.feed(piece) for piece in pieces), splitter.end()]
    return "".join(d.reasoning for d in deltas), "".join(d.content for d in deltas), splitter


@given(TEXTS)
def test_pieces_join_to_what_is_parsed_in_the_whole(pieces: list[str]) -> None:
    text = "".join(pieces)
    parsed = traces.parse(text)
    for cut in (pieces, list(text), [text]):
        reasoning, content, _ = split(cut)
        assert reasoning == (parsed.trace_text if parsed.present else "")
        assert content == (parsed.answer or "")


@given(TEXTS)
def test_nothing_is_told_from_a_stop_string_on(pieces: list[str]) -> None:
    _, plain, _ = split(pieces)
    for cut in (pieces, list("".join(pieces))):
        _, content, splitter = split(cut, ("STOP", "b"))
        places = [plain.find(stop) for stop in ("STOP", "b") if stop in plain]
        assert splitter.stopped == bool(places)
        expected = plain[: min(places)] if places else plain
        assert content == expected


def test_what_may_become_a_tag_is_held_back() -> None:
    splitter = Splitter()
    told = [splitter.feed(piece) for piece in ("<thi", "nk>wei", "gh</th", "at</think>", " yes ")]
    assert [d.reasoning for d in told] == ["", "wei", "gh", "</that", ""]
    assert [d.content for d in told] == ["", "", "", "", "yes"]
    assert splitter.end().content == ""


@pytest.mark.parametrize("text", ["<thi", "", "  ", "<thinking>"])
def test_what_never_became_a_tag_is_an_answer(text: str) -> None:
    assert split(list(text))[:2] == ("", text)
