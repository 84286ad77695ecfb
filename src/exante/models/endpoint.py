"""A chat model behind an OpenAI-compatible endpoint: many requests at once, at the server's pace.

The key comes from the environment and goes into one header; no message, name, file or log ever
holds it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx2 as httpx

from exante.errors import InputError, RunError
from exante.models.loops import result_of, stepwise
from exante.models.pace import Pace, pause_asked
from exante.models.replies import FaultError, fault_of, models_in, said_in
from exante.models.servers import ServerSettings
from exante.records import Message
from exante.speakers import CHARACTERS_PER_TOKEN, Bill, Memory, Said

KEY = "EXANTE_API_KEY"
"""Environment variable that holds the key, if one is needed."""
_MOST_BYTES = 16 << 20
_LONGEST_PAUSE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 1.0
_CONNECT_SECONDS = 10.0
_LATER, _KEYS = (408, 429), (401, 403)
"""Statuses that pass with time, and with another key."""
_FIXES = {
    400: "shorten the prompt or ask for fewer tokens, if it says so; else the server cannot do it",
    401: f"set the environment variable {KEY} to a key that it knows",
    403: f"set the environment variable {KEY} to a key that may do this",
    404: "check the URL (it ends in /v1) and the name of the model",
}


T = TypeVar("T")


class Ask(NamedTuple):
    """One question: a conversation, and what is sent beside it."""

    messages: Sequence[Message]
    options: Mapping[str, Any] = {}
    """Fields of the request that differ from the endpoint's own, such as `seed`."""
    label: str = ""
    """What it is called in messages."""


class EndpointSpeaker:
    """Asks `URL/chat/completions`, several conversations at a time, and again after passing faults.

    Tried again, with growing and jittered pauses: 429, 5xx, no connection or a broken one, no
    answer in time, and a reply that is no chat completion. Anything else is final.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        max_new_tokens: int = 1024,
        settings: ServerSettings = ServerSettings(),  # noqa: B008 (immutable)
        memory: Memory | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`url` ends before `/chat/completions`; `memory` keeps replies; `sleep` waits.

        Raises:
            InputError: the URL holds a user, password or query, or would carry the key in the open.
        """
        self.url = url.rstrip("/")
        self.model = model
        self.name = f"{self.url}#{model}"
        self.settings = settings
        self._options = {"temperature": 0, "max_tokens": max_new_tokens}
        self._memory, self._sleep = memory, sleep
        self._pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        self._jitter = random.Random()
        self._key = os.environ.get(KEY, "").strip()
        _check(self.url, self._key)
        self._bill = Bill()
        """What was asked without a memory, and retries."""

    @property
    def bill(self) -> Bill:
        """What was asked so far; with a memory all that is in it, for it was paid for, too."""
        kept = self._memory.all() if self._memory is not None else ()
        bill = sum(map(_counted, kept), self._bill)
        cost = self.settings.cost(bill.prompt_tokens, bill.tokens)
        return bill.model_copy(update={"cost": cost})

    def foresee(self, conversations: Sequence[Sequence[Message]]) -> Bill:
        """The most that these conversations may take, by four characters to a token.

        What was answered before an interruption is not asked again.
        """
        memory = self._memory
        asks = [Ask(messages) for messages in conversations]
        new = [a for a in asks if memory is None or memory.get(self._identity(a)) is None]
        asked = sum(_tokens_of(ask.messages) for ask in new)
        written = len(new) * int(self._options["max_tokens"])
        cost = self.settings.cost(asked, written)
        return Bill(requests=len(new), prompt_tokens=asked, tokens=written, cost=cost)

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """The next turn of each conversation, in order, at temperature 0; its answer alone.

        Raises:
            RunError: the endpoint cannot be reached or gives no chat completion, after retries.
        """
        said = dict(self.each([Ask(messages) for messages in conversations]))
        return [said[place].text for place in range(len(conversations))]

    def each(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Said]]:
        """Replies as they come, each with the place of its question; remembered ones first.

        The same question is asked once. A reply is in the memory before it is told here.

        Raises:
            RunError: as `reply`; replies that had come by then are told before it is raised.
        """
        places: dict[str, list[int]] = {}
        for place, ask in enumerate(asks):
            places.setdefault(self._identity(ask), []).append(place)
        for key in list(places):
            known = self._memory.get(key) if self._memory is not None else None
            if known is not None:
                yield from ((place, known) for place in places.pop(key))
        if places:
            replies = self._replies({key: asks[found[0]] for key, found in places.items()})
            for key, said in stepwise(replies):
                yield from ((place, said) for place in places[key])

    def served(self) -> dict[str, Any]:
        """What the server tells of the model on `URL/models`; empty where it tells nothing of it.

        Not every server lists all that it serves: `transformers serve` knows its cache only.

        Raises:
            RunError: the endpoint cannot be reached, or wants another key.
        """
        listed = result_of(self._models())
        return next((one for one in listed if one.get("id") == self.model), {})

    async def _replies(self, asks: Mapping[str, Ask]) -> AsyncGenerator[tuple[str, Said], None]:
        gate = asyncio.Semaphore(self.settings.at_once)
        async with self._client() as client:
            keys = {
                asyncio.create_task(self._one(client, key, ask, gate)): key
                for key, ask in asks.items()
            }
            pending = set(keys)
            try:
                while pending:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    # What came is told before what failed.
                    for task in sorted(done, key=lambda task: task.exception() is not None):
                        yield keys[task], task.result()
            finally:
                for task in keys:
                    task.cancel()
                await asyncio.gather(*keys, return_exceptions=True)

    async def _one(
        self, client: httpx.AsyncClient, key: str, ask: Ask, gate: asyncio.Semaphore
    ) -> Said:
        body = self._body(ask)
        booked = _tokens_of(ask.messages) + int(body["max_tokens"])
        async with gate:
            said = await self._persist(
                lambda: self._completion(client, json.dumps(body).encode()), booked, ask.label
            )
        if said.prompt_tokens is not None and said.tokens is not None:
            self._pace.settle(booked, said.prompt_tokens + said.tokens)
        if self._memory is not None:
            self._memory.put(key, said)
        else:
            self._bill += _counted(said)
        return said

    async def _models(self) -> list[dict[str, Any]]:
        async with self._client() as client:
            return await self._persist(lambda: self._listed(client), 0)

    async def _persist(
        self, attempt: Callable[[], Awaitable[T]], tokens: int, label: str = ""
    ) -> T:
        """What the attempt gives, tried again after passing faults.

        Raises:
            RunError: it met a final fault, or too many passing ones.
        """
        fault = FaultError("it was not asked", fix="ask it")
        for number in range(self.settings.tries):
            await self._sleep(self._pace.book(_now(), tokens))
            try:
                return await attempt()
            except FaultError as error:
                fault = error
            if fault.fix or number == self.settings.tries - 1:
                break
            pause = _FIRST_PAUSE_SECONDS * 2**number * self._jitter.uniform(0.5, 1.0)
            if fault.wait_seconds:
                # Nobody else is to knock in the meantime.
                self._pace.hold(_now() + min(fault.wait_seconds, _LONGEST_PAUSE_SECONDS))
            await self._sleep(min(pause, _LONGEST_PAUSE_SECONDS))
            self._bill += Bill(retries=1)
        raise RunError(
            f"no reply: {self._hidden(str(fault))}",
            where=f"{self.name}: {label}" if label else self.name,
            fix=fault.fix
            or "see whether the server is up, then give the same command again: "
            "what it had answered is kept",
        ) from None

    async def _completion(self, client: httpx.AsyncClient, sent: bytes) -> Said:
        return said_in(await self._exchange(client, "POST", "/chat/completions", sent))

    async def _listed(self, client: httpx.AsyncClient) -> list[dict[str, Any]]:
        try:
            return models_in(await self._exchange(client, "GET", "/models"))
        except FaultError as fault:
            if fault.status in (None, *_LATER, *_KEYS):
                raise
            return []

    async def _exchange(
        self, client: httpx.AsyncClient, method: str, path: str, sent: bytes | None = None
    ) -> bytes:
        seconds = self.settings.timeout_seconds
        read = bytearray()
        try:
            async with (
                asyncio.timeout(seconds),
                client.stream(method, self.url + path, content=sent) as reply,
            ):
                async for chunk in reply.aiter_bytes():
                    read += chunk
                    if len(read) > _MOST_BYTES:
                        raise FaultError("its reply is too long", fix="ask another server")
        except TimeoutError:
            raise FaultError(f"no answer within {seconds:g} seconds") from None
        except httpx.HTTPError as error:
            raise FaultError(str(error) or f"connection lost ({type(error).__name__})") from None
        if self._key:
            # What an endpoint repeats would be kept with its replies.
            read = read.replace(self._key.encode(), b"...")
        wait = pause_asked(reply.headers)
        if reply.status_code != httpx.codes.OK:
            raise fault_of(reply.status_code, bytes(read), wait, _FIXES)
        if wait:
            self._pace.hold(_now() + min(wait, _LONGEST_PAUSE_SECONDS))
        return bytes(read)

    def _client(self) -> httpx.AsyncClient:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # A redirect would take the key to another host.
        return httpx.AsyncClient(
            headers=headers,
            follow_redirects=False,
            # Nor does what is meant for this machine go through a proxy.
            trust_env=not _is_local(str(urlsplit(self.url).hostname)),
            timeout=httpx.Timeout(self.settings.timeout_seconds, connect=_CONNECT_SECONDS),
        )

    def _body(self, ask: Ask) -> dict[str, Any]:
        messages = [message.model_dump() for message in ask.messages]
        return {"model": self.model, "messages": messages, **self._options, **ask.options}

    def _identity(self, ask: Ask) -> str:
        """Hash of the address and all that is sent."""
        text = json.dumps([self.url, self._body(ask)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _hidden(self, text: str) -> str:
        """The text without the key, should an endpoint repeat it."""
        return text.replace(self._key, "...") if self._key else text


def _check(url: str, key: str) -> None:
    """Refuse an address that is none, holds secrets, or would carry the key in the open.

    Raises:
        InputError: it does, or the key cannot stand in a header.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"no URL: {error}", where=url, fix="http://HOST:PORT/v1#M") from None
    if parts.username is not None or parts.query:
        raise InputError(
            "the URL of an endpoint holds a user, password or query, which would be written down",
            where=f"{parts.scheme}://{parts.hostname}",
            fix=f"leave them out; put the key into {KEY}",
        )
    if not parts.hostname:
        raise InputError("the URL of an endpoint names no host", where=url, fix="http://HOST/v1#M")
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError(f"no URL: {error}", where=url, fix="http://HOST/v1#M") from None
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{KEY} holds what no key may hold", fix="set it to the key alone")
    if key and parts.scheme == "http" and not _is_local(parts.hostname):
        raise InputError(
            f"{KEY} would be sent in the open",
            where=url,
            fix=f"use https, or unset {KEY} if the endpoint needs none",
        )


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _counted(said: Said) -> Bill:
    told = said.prompt_tokens is not None and said.tokens is not None
    return Bill(
        requests=1,
        prompt_tokens=said.prompt_tokens or 0,
        tokens=said.tokens or 0,
        uncounted=int(not told),
    )


def _tokens_of(messages: Sequence[Message]) -> int:
    """An estimate: four characters to a token."""
    characters = sum(len(message.content) for message in messages)
    return -(-characters // CHARACTERS_PER_TOKEN)


def _now() -> float:
    return time.monotonic()
