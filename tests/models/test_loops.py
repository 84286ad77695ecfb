"""Async generators for callers that are not async: their end, whoever brings it about."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncGenerator

import pytest

from exante.models.loops import result_of, stepwise


async def numbers(ended: list[str], pause: float = 0.0) -> AsyncGenerator[int, None]:
    try:
        for number in range(3):
            yield number
            await asyncio.sleep(pause)
    finally:
        ended.append("ended")


def test_items_come_in_order_and_the_generator_ends() -> None:
    ended: list[str] = []
    assert list(stepwise(numbers(ended))) == [0, 1, 2]
    assert ended == ["ended"]


def test_a_reader_that_leaves_ends_it() -> None:
    ended: list[str] = []
    steps = stepwise(numbers(ended))
    assert next(steps) == 0
    steps.close()  # type: ignore[attr-defined]
    assert ended == ["ended"]


def test_an_interrupt_ends_it_in_the_middle_of_a_step() -> None:
    ended: list[str] = []
    steps = stepwise(numbers(ended, pause=60))
    assert next(steps) == 0
    # A real signal: one that is only pretended wakes nobody who waits.
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(steps)
    timer.join()
    assert ended == ["ended"]


def test_faults_come_out_as_they_are() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        result_of(broken())
