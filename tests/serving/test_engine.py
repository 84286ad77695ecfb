"""The engine without HTTP: caps, modes and failures."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.taught import FINE, TURNS

from exante import rules
from exante.models.load import load_chat, load_model
from exante.models.sample import SamplingSettings
from exante.records import Message
from exante.serving.engine import Busy, Engine, Event, Failed, Job, Written
from exante.serving.protocol import Choice
from exante.serving.turn import TraceSettings


@contextmanager
def engine_of(taught: Path, **settings: Any) -> Iterator[Engine]:
    model, chat = load_model(taught), load_chat(taught)
    traces = TraceSettings(**{"opened": True, **settings})
    engine = Engine(model, chat, traces, rows=2, columns=512, queue=2)
    try:
        yield engine
    finally:
        engine.close()


def answered(engine: Engine, text: str, tokens: int = 160) -> Choice:
    events: queue.Queue[Event] = queue.Queue()
    prompt = engine.chat.prompt_ids([Message(role="user", content=text)])
    engine.submit(Job(prompt, SamplingSettings(max_new_tokens=tokens), events.put))
    told = []
    while True:
        event = events.get(timeout=60)
        assert isinstance(event, Written)
        told.append(event.delta)
        if event.choice is not None:
            assert "".join(d.content for d in told) == event.choice.content
            assert "".join(d.reasoning for d in told) == (event.choice.reasoning or "")
            return event.choice


@pytest.mark.parametrize("cap", [1, 12, 20])
def test_a_trace_that_reaches_its_cap_is_closed_and_the_answer_begins(
    taught: Path, cap: int
) -> None:
    with engine_of(taught, most_tokens=cap) as engine:
        choice = answered(engine, "Say nothing.")
        assert choice.record.closed_early
        assert choice.record.decision is not None
        assert choice.reasoning is not None
        assert choice.reasoning.endswith("</calibrate>")
        longest = max(
            len(engine.chat.encode(f"</assess><calibrate>{d}</calibrate></think>"))
            for d in ("comply", "refuse", "redirect")
        )
        # The opening is forced before the cap is looked at.
        assert choice.reasoning_tokens <= max(cap, len(engine.forced) + 1) + longest


def test_a_cap_that_is_not_reached_changes_nothing(taught: Path) -> None:
    with engine_of(taught, most_tokens=200) as engine:
        choice = answered(engine, "What is this?")
    assert f"<think>{choice.reasoning}</think>{choice.content}" == TURNS["What is this?"]
    assert not choice.record.closed_early


def test_adaptive_leaves_out_what_a_request_without_risk_does_not_need(taught: Path) -> None:
    with engine_of(taught, mode="adaptive", rules=rules.load("general")) as engine:
        choice = answered(engine, "What is this?")
    assert choice.reasoning == "<assess>a</assess><calibrate>comply</calibrate>"
    assert (choice.content, choice.record.valid, choice.record.closed_early) == (FINE, True, True)


def test_off_closes_the_trace_before_it_begins(taught: Path) -> None:
    with engine_of(taught, mode="off") as engine:
        choice = answered(engine, "What is this?", tokens=20)
        assert engine.chat.decode(engine.forced) == "<think></think>"
    assert (choice.reasoning, choice.record.decision, choice.record.mode) == (None, None, "off")
    assert choice.reasoning_tokens == len(engine.forced)


def test_a_failure_is_told_and_the_next_request_is_served(
    taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_of(taught) as engine:
        broken = engine._decoder
        events: queue.Queue[Event] = queue.Queue()
        monkeypatch.setattr(broken.model, "get_decoder", lambda: None)
        prompt = engine.chat.prompt_ids([Message(role="user", content="What is this?")])
        engine.submit(Job(prompt, SamplingSettings(n=2, max_new_tokens=9), events.put))
        assert events.get(timeout=60) == Failed()
        monkeypatch.undo()
        assert answered(engine, "What is this?").content == FINE
        assert engine.counts() == {"running": 0, "waiting": 0}


def test_a_device_that_stays_out_of_order_leaves_nobody_waiting(
    taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_order() -> None:
        raise RuntimeError("out of order")

    with engine_of(taught) as engine:
        events: queue.Queue[Event] = queue.Queue()
        monkeypatch.setattr(engine._decoder.model, "get_decoder", out_of_order)
        monkeypatch.setattr(engine, "_new_decoder", out_of_order)
        prompt = engine.chat.prompt_ids([Message(role="user", content="What is this?")])
        for _ in range(3):
            assert not engine.failing
            engine.submit(Job(prompt, SamplingSettings(max_new_tokens=9), events.put))
            assert events.get(timeout=60) == Failed()
        assert engine.failing
        monkeypatch.undo()
        # The first one may still meet rows of the old slots.
        engine.submit(Job(prompt, SamplingSettings(max_new_tokens=9), events.put))
        events.get(timeout=60)
        assert answered(engine, "What is this?").content == FINE
        assert not engine.failing


def test_a_closed_engine_takes_nothing(taught: Path) -> None:
    with engine_of(taught) as engine:
        engine.close()
        with pytest.raises(Busy):
            engine.submit(Job((5,), SamplingSettings(max_new_tokens=9), print))
