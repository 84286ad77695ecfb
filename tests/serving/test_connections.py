"""A server with full slots, with clients that are slow or leave, and at its end."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import openai
import pytest
from tests.serving.conftest import Served, body_of, serving, threaded

from exante.serving import app, connections
from exante.serving.app import _Answer
from exante.serving.asking import Limits

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"


def counts(served: Served) -> dict[str, int]:
    found: dict[str, int] = httpx.get(served.url.replace("/v1", "/health")).json()
    return found


def wait_until(true: Any) -> None:
    """Return when it is so; fail if that takes a minute."""
    late = time.monotonic() + 60
    while not true():
        assert time.monotonic() < late
        time.sleep(0.02)


@pytest.fixture(scope="module")
def narrow(endless: Path) -> Iterator[Served]:
    """One slot, one place to wait, and turns that run to their limit."""
    limits = Limits(tokens=2000)
    with threaded(endless, rows=1, queue=1, limits=limits) as found:
        yield found


def long_stream(served: Served, tokens: int = 1500) -> Any:
    return served.client().chat.completions.create(**body_of(served, tokens), stream=True)


def test_overload_is_told_and_a_client_that_leaves_frees_its_slot(narrow: Served) -> None:
    first = long_stream(narrow)
    wait_until(lambda: counts(narrow)["running"] == 1)
    second = long_stream(narrow)
    with pytest.raises(openai.RateLimitError) as refused:
        long_stream(narrow)
    assert refused.value.response.headers["retry-after"] == "1"
    first.close()
    second.close()
    wait_until(lambda: counts(narrow)["running"] + counts(narrow)["waiting"] == 0)


def test_a_plain_request_whose_client_leaves_frees_its_slot(narrow: Served) -> None:
    url = f"{narrow.url}/chat/completions"
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json=body_of(narrow, 1900), timeout=httpx.Timeout(10, read=0.2))
    wait_until(lambda: counts(narrow)["running"] == 0)


def connected(served: Served) -> socket.socket:
    """A connection on which nothing is said yet."""
    parts = urlsplit(served.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


@pytest.mark.parametrize(
    "said", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"]
)
def test_a_client_that_does_not_finish_its_headers_is_left(
    endless: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with threaded(endless) as found, connected(found) as slow:
        slow.sendall(said)
        assert slow.recv(100) == b""
        # And it is told of whoever comes in time, also twice on one connection.
        with httpx.Client() as client:
            for _ in range(2):
                assert client.get(found.url.replace("/v1", "/health")).status_code == 200


def test_a_request_that_came_with_another_is_answered_to_its_end(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(_: _Answer) -> AsyncIterator[bytes]:
        await asyncio.sleep(1)
        yield b"data: [DONE]\n\n"

    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(_Answer, "stream", slow)
    with threaded(endless) as found, connected(found) as client:
        body = json.dumps({**body_of(found, 100), "stream": True}).encode()
        length = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEAD + length + body)
        read = b""
        while more := client.recv(1000):
            read += more
        assert b"[DONE]" in read


def test_headers_without_end_are_refused(narrow: Served) -> None:
    with connected(narrow) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nX: " + b"a" * (1 << 17))
        assert b" 400 " in client.recv(100)


def test_a_body_that_comes_too_slowly_is_not_waited_for(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_BODY_SECONDS", 0.3)
    with threaded(endless) as found, connected(found) as slow:
        slow.sendall(HEAD + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
        assert b" 408 " in slow.recv(100)


def test_a_client_that_does_not_read_its_stream_is_left(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_end(_: _Answer) -> AsyncIterator[bytes]:
        while True:
            yield b"data: " + b"x" * 65_536 + b"\n\n"
            await asyncio.sleep(0)

    monkeypatch.setattr(connections, "READ_SECONDS", 0.5)
    monkeypatch.setattr(_Answer, "stream", no_end)
    with threaded(endless, limits=Limits(tokens=2000)) as found, connected(found) as slow:
        body = json.dumps({**body_of(found, 1900), "stream": True}).encode()
        length = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        slow.sendall(HEAD + length + body)
        wait_until(lambda: counts(found)["running"] == 1)
        wait_until(lambda: counts(found)["running"] == 0)


def test_a_request_that_takes_too_long_is_ended(endless: Path) -> None:
    with threaded(endless, limits=Limits(tokens=2000, seconds=0.2)) as found:
        with pytest.raises(openai.APIError, match=r"longer than 0\.2 seconds"):
            list(long_stream(found))
        with pytest.raises(openai.InternalServerError, match=r"longer than 0\.2 seconds"):
            found.client().chat.completions.create(**body_of(found, 1500))
        wait_until(lambda: counts(found)["running"] == 0)


def test_sigterm_finishes_what_runs_and_takes_nothing_new(endless: Path, tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    with serving(endless, "--rows", "2", "--log", str(log)) as found:
        streams = [long_stream(found, 300) for _ in range(3)]
        assert found.process is not None
        found.process.send_signal(signal.SIGTERM)
        ended = [[c.finish_reason for e in s for c in e.choices][-1] for s in streams]
        assert found.process.wait(timeout=60) == 0
        assert ended == ["length"] * 3
        with pytest.raises(openai.APIConnectionError):
            long_stream(found)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 3
    assert {"decision", "cited", "valid", "rules_hash", "finish_reason"} <= lines[0].keys()
    assert "messages" not in lines[0]
    assert log.stat().st_mode & 0o077 == 0
