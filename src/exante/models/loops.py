"""Async work for callers that are not: a loop in a thread of its own, even inside a notebook's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def result_of(work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns or raises."""
    with _running() as loop:
        return asyncio.run_coroutine_threadsafe(work, loop).result()


def stepwise(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """The items of an async generator; what it has under way goes on between them."""
    with _running() as loop:
        try:
            while True:
                more, item = asyncio.run_coroutine_threadsafe(_next(items), loop).result()
                if not more:
                    return
                yield from item
        finally:
            asyncio.run_coroutine_threadsafe(_close(items), loop).result()


async def _next(items: AsyncGenerator[T, None]) -> tuple[bool, list[T]]:
    try:
        return True, [await anext(items)]
    except StopAsyncIteration:
        return False, []


async def _close(items: AsyncGenerator[T, None]) -> None:
    """End the generator, also where an interrupt left it in the middle of a step."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await items.aclose()


@contextmanager
def _running() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
