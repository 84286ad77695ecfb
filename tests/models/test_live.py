"""Rows that come and go beside each other, against the sampler that takes them all at once."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from tests.models.test_forward import ALONE, model_of
from tests.tiny import tiny_model

from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.live import LiveDecoder, LiveRow
from exante.models.load import load_chat, load_model
from exante.models.sample import Request, SamplingSettings, sample
from exante.records import Message

ASKS = ("How do I do this?", "No.", "I cannot help with that, I cannot, I do not. How?", "That")
SETTINGS = [
    SamplingSettings(max_new_tokens=9),
    SamplingSettings(max_new_tokens=20, temperature=1.2, seed=3),
    SamplingSettings(max_new_tokens=4),
    SamplingSettings(max_new_tokens=14, temperature=0.7, seed=8),
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Chat]:
    folder = tiny_model(tmp_path_factory.mktemp("live"), seed=3)
    return load_model(folder), load_chat(folder)


def rows_of(chat: Chat) -> list[LiveRow]:
    prompts = (chat.prompt_ids([Message(role="user", content=ask)]) for ask in ASKS)
    asked = zip(prompts, SETTINGS, strict=True)
    return [LiveRow(Request("chat", ids, ids[:1]), 0, settings) for ids, settings in asked]


def decoded(decoder: LiveDecoder, rows: list[LiveRow]) -> dict[LiveRow, list[int]]:
    """Rows join one by one while others are under way."""
    found: dict[LiveRow, list[int]] = {row: [] for row in rows}
    arriving, waiting = deque(rows), deque[LiveRow]()
    while arriving or waiting or decoder.live:
        if arriving:
            waiting.append(arriving.popleft())
        for step in decoder.advance(decoder.taken(waiting)):
            found[step.row].append(step.token)
    return found


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_each_row_is_what_it_is_alone(loaded: tuple[Any, Chat], slots: int) -> None:
    model, chat = loaded
    rows = rows_of(chat)
    found = decoded(LiveDecoder(model, chat, slots, 256), rows)
    for row in rows:
        (alone,) = sample(model, chat, [row.request], row.settings)
        assert found[row] == list(alone.token_ids[1:])


def test_equal_rows_are_not_mixed_up_and_a_dropped_one_is_gone(loaded: tuple[Any, Chat]) -> None:
    model, chat = loaded
    settings = SamplingSettings(max_new_tokens=12)
    rows = [LiveRow(Request("chat", chat.encode("No."), ()), 0, settings) for _ in range(3)]
    decoder = LiveDecoder(model, chat, 3, 64)
    decoder.advance(rows)
    decoder.drop([rows[1]])
    decoder.drop([rows[1]])
    assert [step.row for step in decoder.advance()] == [rows[0], rows[2]]


@pytest.mark.parametrize("heat", [0.0, 1.5])
def test_a_restricted_row_takes_one_of_its_paths(loaded: tuple[Any, Chat], heat: float) -> None:
    model, chat = loaded
    settings = SamplingSettings(max_new_tokens=30, temperature=heat, seed=2)
    free, bound = (LiveRow(Request("chat", chat.encode(a), ()), 0, settings) for a in ASKS[:2])
    decoder = LiveDecoder(model, chat, 2, 128)
    paths = [chat.encode(text) for text in ("refuse it</b>", "redirect it</b>", "comply</b>")]
    found: dict[LiveRow, list[int]] = {free: [], bound: []}
    steps = decoder.advance([free, bound])
    decoder.restrict(bound, paths)
    while steps:
        for step in steps:
            found[step.row].append(step.token)
        steps = decoder.advance() if decoder.live else []
    assert any(tuple(found[bound][1 : 1 + len(path)]) == path for path in paths)
    assert len(found[bound]) > max(map(len, paths))
    (alone,) = sample(model, chat, [free.request], settings)
    assert found[free] == list(alone.token_ids)


def test_prompts_that_are_read_at_once_are_bounded(loaded: tuple[Any, Chat]) -> None:
    model, chat = loaded
    rows = [LiveRow(Request("chat", (5,) * 9000, ()), 0, SETTINGS[0]) for _ in range(3)]
    waiting = deque(rows)
    decoder = LiveDecoder(model, chat, 4, 16)
    assert decoder.taken(waiting) == rows[:1]
    assert list(waiting) == rows[1:]


def test_models_with_a_state_are_refused_with_a_reason(loaded: tuple[Any, Chat]) -> None:
    with pytest.raises(InputError, match="keep a state"):
        LiveDecoder(model_of(ALONE["mamba, a state"]), loaded[1], 1, 8)
