"""A bounded load on a server of this machine: is an answer lost, mixed up, or memory kept?

The server is a process of its own. Every prompt is first asked alone; under load its answer must be
the same, to the character, whoever else is served beside it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from exante.errors import RunError
from exante.miniature.prompts import examples
from exante.records import Record

_SAMPLES = 20
"""Times that memory is read under load."""
_GIVE_UP_SECONDS = 120.0
_PATIENT_SECONDS = 600.0
"""At shutdown no client gives up before the server's own limit of a request."""
_POLL_SECONDS = 0.002
_FIRST_PAUSE_SECONDS = 0.05
"""Of a client that was turned away; then twice as long, up to what the server asked for."""
_LAST_TOKENS = 256
"""Of turns that run when the server is told to stop: long enough to be met running."""
Outcome = Literal["right", "mixed_up", "lost", "given_up"]


class LoadSpec(Record):
    """How much of it."""

    model: str = "miniature"
    requests: int = Field(default=200, ge=_SAMPLES, le=100_000)
    clients: int = Field(default=8, ge=1, le=256)
    prompts: int = Field(default=96, ge=1)
    """Different ones; they are asked in turn. The more different answers they have, the surer it is
    that one that went to another client is noticed."""
    max_tokens: int = Field(default=48, ge=8)
    rows: int = Field(default=4, ge=1)
    queue: int = Field(default=2, ge=0)
    """Small, so that some clients are turned away and come back."""


class LoadResult(Record):
    """What came of it."""

    spec: LoadSpec
    different: int
    """Answers among those that the prompts have alone."""
    answered: int
    """Requests with the answer that their prompt has alone."""
    mixed_up: int
    """Requests with another answer."""
    lost: int
    """Requests that were taken in and got no whole answer."""
    given_up: int
    """Requests that were turned away for two minutes, until the client had enough: a client that
    comes back has no place in the queue."""
    turned_away: int
    """Times that a client was told to come back (429)."""
    seconds: tuple[float, float, float]
    """Median, 95th and 99th percentile from the first try to the answer."""
    resident_bytes: tuple[int, ...]
    """Memory of the server: before the load, and evenly through it to its end. Empty where the
    system does not tell."""
    taken_at_shutdown: int
    """Requests that ran or waited when SIGTERM came."""
    finished_at_shutdown: int
    """Those that got the whole answer that their prompt has alone."""
    ended_well: bool
    """Did the server then take nothing new, and end with exit code 0?"""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    text: str
    whole: bool
    come_back_seconds: float = 0.0
    """What a server that turns a client away asks for; 0 if it names no time."""


def load(spec: LoadSpec) -> LoadResult:
    """Start a server, ask it, stop it.

    Raises:
        RunError: the server does not start.
    """
    asked = _prompts(spec)
    with _server(spec) as (process, address):
        alone = {text: _answered(address, text, spec.max_tokens) for text in asked}
        memory = _resident(process.pid)
        found: Counter[str] = Counter()
        times: list[float] = []
        with ThreadPoolExecutor(spec.clients) as pool:
            work = [
                pool.submit(_request, address, spec, asked[i % len(asked)], i % 2 == 1, alone)
                for i in range(spec.requests)
            ]
            for done, future in enumerate(work, start=1):
                outcome, away, seconds = future.result()
                found.update({outcome: 1, "away": away})
                times.append(seconds)
                if done % max(1, spec.requests // _SAMPLES) == 0:
                    memory += _resident(process.pid)
        taken, finished, well = _shut_down(process, address, asked[: spec.rows + spec.queue])
    cuts = quantiles(times, n=100, method="inclusive")
    return LoadResult(
        spec=spec,
        different=len({reply.text for reply in alone.values()}),
        answered=found["right"],
        mixed_up=found["mixed_up"],
        lost=found["lost"],
        given_up=found["given_up"],
        turned_away=found["away"],
        seconds=(cuts[49], cuts[94], cuts[98]),
        resident_bytes=memory,
        taken_at_shutdown=taken,
        finished_at_shutdown=finished,
        ended_well=well,
    )


def _prompts(spec: LoadSpec) -> list[str]:
    if spec.model == "miniature":
        known = dict.fromkeys(example.prompt for example in examples(0)["test"])
        return list(known)[: spec.prompts]
    return [f"What is {number} plus {number + 1}?" for number in range(spec.prompts)]


def _request(
    address: str, spec: LoadSpec, text: str, stream: bool, alone: dict[str, _Reply]
) -> tuple[Outcome, int, float]:
    """Ask until there is an answer: its outcome, how often it was refused, how long it took."""
    start, away, pause = time.monotonic(), 0, _FIRST_PAUSE_SECONDS
    while time.monotonic() - start < _GIVE_UP_SECONDS:
        reply = _answered(address, text, spec.max_tokens, stream=stream)
        if reply.status == 429 and reply.come_back_seconds:
            away += 1
            time.sleep(min(pause, reply.come_back_seconds))
            pause *= 2
            continue
        if reply.status != 200 or not reply.whole:
            return "lost", away, time.monotonic() - start
        right: Outcome = "right" if reply.text == alone[text].text else "mixed_up"
        return right, away, time.monotonic() - start
    return "given_up", away, time.monotonic() - start


def _answered(
    address: str,
    text: str,
    max_tokens: int | None = None,
    *,
    stream: bool = False,
    patience: float = _GIVE_UP_SECONDS,
) -> _Reply:
    """One request; trace and answer as one text. `patience` is in seconds of silence."""
    connection = _connection(address, patience)
    asked = {
        "model": "load",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "stream": stream,
    }
    try:
        connection.request(
            "POST",
            f"{urlsplit(address).path}/chat/completions",
            json.dumps(asked),
            {"content-type": "application/json"},
        )
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return _Reply(0, "", False)
    finally:
        connection.close()
    if response.status != 200:
        return _Reply(response.status, body, False, float(response.headers.get("retry-after", 0)))
    try:
        return _streamed(body) if stream else _plain(body)
    except (ValueError, KeyError):  # To be counted as lost.
        return _Reply(response.status, body, False)


def _plain(body: str) -> _Reply:
    (choice,) = json.loads(body)["choices"]
    message = choice["message"]
    text = f"{message.get('reasoning_content', '')}|{message['content']}"
    return _Reply(200, text, bool(choice["finish_reason"]))


def _streamed(body: str) -> _Reply:
    lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    events: list[dict[str, Any]] = [json.loads(line) for line in lines if line != "[DONE]"]
    deltas = [choice["delta"] for event in events for choice in event.get("choices", ())]
    text = "|".join(
        "".join(delta.get(field, "") for delta in deltas)
        for field in ("reasoning_content", "content")
    )
    return _Reply(200, text, lines[-1:] == ["[DONE]"])


def _shut_down(
    process: subprocess.Popen[bytes], address: str, texts: Sequence[str]
) -> tuple[int, int, bool]:
    """Send SIGTERM while all these are asked.

    How many were taken in, how many of them finished, and whether the server ended well.
    """
    ask = partial(_answered, address, patience=_PATIENT_SECONDS)
    alone = [ask(text) for text in texts]
    with ThreadPoolExecutor(len(texts)) as pool:
        asked = [pool.submit(ask, text, stream=True) for text in texts]
        while (taken := _taken(address)) < len(texts) and not any(one.done() for one in asked):
            time.sleep(_POLL_SECONDS)
        process.send_signal(signal.SIGTERM)
        replies = [one.result() for one in asked]
    finished = sum(
        reply.whole and reply.text == known.text
        for reply, known in zip(replies, alone, strict=True)
    )
    return taken, finished, _ended(process) and _answered(address, texts[0]).status == 0


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Does it end by itself, and well?"""
    try:
        return process.wait(_GIVE_UP_SECONDS) == 0
    except subprocess.TimeoutExpired:
        return False


def _taken(address: str) -> int:
    """Requests that run or wait; none where the server does not say."""
    connection = _connection(address, _GIVE_UP_SECONDS)
    try:
        connection.request("GET", "/health")
        told = json.loads(connection.getresponse().read())
        return int(told["running"]) + int(told["waiting"])
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _connection(address: str, patience: float) -> http.client.HTTPConnection:
    parts = urlsplit(address)
    assert parts.hostname is not None
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=patience)


def _resident(process: int) -> tuple[int, ...]:
    """Bytes in memory, as one item, if the system tells."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return ()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return (int(found[1]) * 1024,) if found else ()


@contextmanager
def _server(spec: LoadSpec) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The server's process and its address, on a free port of this machine."""
    options: Sequence[object] = ("--port", 0, "--name", "load", "--rows", spec.rows)
    options = (
        *options,
        *("--queue", spec.queue, "--max-tokens", max(spec.max_tokens, _LAST_TOKENS)),
    )
    command = [sys.executable, "-m", "exante", "serve", spec.model, *map(str, options)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stderr=said, env=dict(os.environ))
        try:
            line = ""
            while not line.endswith("\n") and process.poll() is None:
                time.sleep(0.1)
                said.seek(0)
                line = said.readline()
            if not line.startswith("serving load at "):
                raise RunError(f"the server did not start: {line.strip()}", where=spec.model)
            yield process, line.removeprefix("serving load at ").strip()
        finally:
            process.kill()
            process.wait()
