"""HTTP around the engine: routes, limits, and streams that end when their client is gone."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from exante.serving.asking import Limits, job_of
from exante.serving.audit import AuditLog
from exante.serving.engine import Busy, Engine, Event, Failed, Job
from exante.serving.protocol import (
    ApiError,
    ChatRequest,
    Choice,
    chunk,
    completion,
    last_piece,
    model_card,
    parse_request,
    piece,
    usage,
)

_BODY_SECONDS = 30.0
"""A client that takes longer to send its request is not waited for."""
_LOOK_SECONDS = 0.1
"""How often it is looked whether the client of a plain request is still there."""
_CLOSED_REQUEST = 499
"""Written to nobody: the client is gone."""
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes work with."""

    name: str
    """Of the model, as clients ask for it."""
    engine: Engine
    limits: Limits
    log: AuditLog | None = None
    api_key: str | None = None
    host: str | None = "127.0.0.1"
    """Of this machine alone: answer to its names only, for a page in a browser must not reach in by
    another. None where others reach the address, too."""


def app_of(service: Service) -> Starlette:
    """The application; it closes the engine when it is shut down."""
    routes = _Routes(service)
    started = int(time.time())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.engine.close)

    async def health(_: Request) -> Response:
        failing = service.engine.failing
        said = {"status": "failing" if failing else "ok", "model": service.name}
        return JSONResponse(said | service.engine.counts(), 503 if failing else 200)

    async def models(request: Request) -> Response:
        routes.require_key(request)
        return JSONResponse({"object": "list", "data": [model_card(service.name, started)]})

    async def model(request: Request) -> Response:
        routes.require_key(request)
        routes.require_model(request.path_params["name"])
        return JSONResponse(model_card(service.name, started))

    hosts = ["*"] if service.host is None else [*_LOCAL_HOSTS, service.host]
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", model),
            Route("/v1/chat/completions", routes.complete, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        exception_handlers={ApiError: _refused, HTTPException: _no_route, Exception: _broken},
        lifespan=lifespan,
    )


class _Routes:
    """What a client may ask for."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def require_key(self, request: Request) -> None:
        """Raises ApiError unless the request brings the key, where there is one."""
        key = self.service.api_key
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key is not None and not hmac.compare_digest(given.encode(), key.encode()):
            raise ApiError(401, "the API key is missing or wrong", code="invalid_api_key")

    def require_model(self, name: str) -> None:
        """Raises ApiError unless this is the model that is served."""
        if name != self.service.name:
            served = self.service.name
            message = f"there is no model {name!r} here; {served!r} is served"
            raise ApiError(404, message, param="model", code="model_not_found")

    async def complete(self, request: Request) -> Response:
        """Answer a chat, at once or as a stream."""
        self.require_key(request)
        asked = parse_request(await _document(request, self.service.limits.body_bytes))
        self.require_model(asked.model)
        events: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(event: Event) -> None:
            # The loop is gone where a shutdown did not wait for this request.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(events.put_nowait, event)

        job = await run_in_threadpool(self._job, asked, tell)
        answer = _Answer(self.service, asked, job, events)
        try:
            rows = self.service.engine.submit(job)
        except Busy:
            message = "as many requests wait as may wait; come back later"
            raise ApiError(429, message, code="queue_full", retry_seconds=1) from None
        done = partial(self.service.engine.cancel, rows)
        if asked.stream:
            return _Stream(answer.stream(), done)
        try:
            return await _unless_gone(request, answer.whole())
        finally:
            done()

    def _job(self, asked: ChatRequest, tell: Callable[[Event], None]) -> Job:
        seed = asked.seed if asked.seed is not None else secrets.randbits(63)
        return job_of(asked, self.service.engine, self.service.limits, seed, tell)


class _Answer:
    """One request's events as what is sent."""

    def __init__(
        self, service: Service, asked: ChatRequest, job: Job, events: asyncio.Queue[Event]
    ) -> None:
        self.service, self.asked, self.job, self.events = service, asked, job, events
        self.name, self.created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        self.deadline = asyncio.get_running_loop().time() + service.limits.seconds
        self.choices: dict[int, Choice] = {}

    async def whole(self) -> Response:
        """All choices at once."""
        async for _ in self._events():
            pass
        choices = [self.choices[index] for index in sorted(self.choices)]
        prompt = len(self.job.prompt_ids)
        return JSONResponse(completion(self.name, self.created, self.service.name, choices, prompt))

    async def stream(self) -> AsyncIterator[bytes]:
        """Server-sent events, as they come."""
        for index in range(self.asked.n):
            yield self._event([piece(index, {"role": "assistant", "content": ""})])
        try:
            async for index, delta, choice in self._events():
                if delta:
                    yield self._event([piece(index, delta)])
                if choice is not None:
                    yield self._event([last_piece(choice)])
        except ApiError as error:
            # The status is sent already; clients of OpenAI's look for this field.
            yield f"data: {json.dumps(error.body)}\n\n".encode()
            return
        if self.asked.stream_options is not None and self.asked.stream_options.include_usage:
            counts = usage(list(self.choices.values()), len(self.job.prompt_ids))
            yield self._event([], usage=counts)
        yield b"data: [DONE]\n\n"

    async def _events(self) -> AsyncIterator[tuple[int, dict[str, str], Choice | None]]:
        """Deltas until every choice is finished.

        Raises:
            ApiError: it takes too long, or the engine failed.
        """
        while len(self.choices) < self.asked.n:
            try:
                async with asyncio.timeout_at(self.deadline):
                    event = await self.events.get()
            except TimeoutError:
                seconds = self.service.limits.seconds
                message = f"the answer takes longer than {seconds:g} seconds"
                raise ApiError(504, message, code="timeout") from None
            if isinstance(event, Failed):
                raise ApiError(500, "the model failed; see the server's log", code="model_failed")
            if event.choice is not None:
                self.choices[event.index] = event.choice
                if self.service.log is not None:
                    self.service.log.write(self.name, self.service.name, self.asked, event.choice)
            named = {"reasoning_content": event.delta.reasoning, "content": event.delta.content}
            yield event.index, {key: text for key, text in named.items() if text}, event.choice

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        event = chunk(self.name, self.created, self.service.name, choices, **more)
        return f"data: {json.dumps(event)}\n\n".encode()


class _Stream(StreamingResponse):
    """Server-sent events; however it ends, `done` is called."""

    def __init__(self, events: AsyncIterator[bytes], done: Callable[[], None]) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers={"cache-control": "no-store"}
        )
        self.done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.done()


async def _unless_gone(request: Request, answer: Awaitable[Response]) -> Response:
    """The answer, or an empty one as soon as nobody waits for it any more."""
    working = asyncio.ensure_future(answer)
    try:
        while not working.done():
            await asyncio.wait([working], timeout=_LOOK_SECONDS)
            if not working.done() and await request.is_disconnected():
                return Response(status_code=_CLOSED_REQUEST)
        return working.result()
    finally:
        working.cancel()


async def _document(request: Request, most: int) -> object:
    """The JSON of a body that is not too large.

    Raises:
        ApiError: it is too large, too slow, or no JSON.
    """
    # A page of another site can send plain text without being asked, but not this.
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise ApiError(415, "send application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    message = f"the body is larger than {most} bytes"
                    raise ApiError(413, message, code="body_too_large")
    except TimeoutError:
        raise ApiError(408, "the body came too slowly") from None
    except ClientDisconnect:
        raise ApiError(_CLOSED_REQUEST, "the client is gone") from None
    try:
        document: object = json.loads(body)
        # An escape can stand for half a character, which is no text.
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is no JSON", code="invalid_json") from None
    return document


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    headers = {"retry-after": str(error.retry_seconds)} if error.retry_seconds else {}
    # A body that was not read to its end makes the connection useless.
    if error.status in (408, 413):
        headers["connection"] = "close"
    return JSONResponse(error.body, error.status, headers=headers)


async def _no_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(ApiError(error.status_code, error.detail).body, error.status_code)


async def _broken(*_: object) -> Response:
    return JSONResponse(ApiError(500, "the server failed; see its log").body, 500)
