"""Connections that do not wait for ever: uvicorn's protocol, with limits on silent clients.

uvicorn itself waits without end for the first byte, for the rest of the headers, and for a client
to read what it asked for; enough of them would take all connections there are.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 15.0
"""From the connection, or the last answer on it, to the end of a request's headers."""
READ_SECONDS = 30.0
"""How long a client may leave unread what fills all buffers on the way."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1; a connection on which nothing goes on is closed."""

    _head_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """The clock runs from here."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """It stops when the headers are whole; what follows has limits of its own."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()

    def on_response_complete(self) -> None:
        """It runs again, unless the next request came with this one and is answered already."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._stop()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not keep up: from here on it has to read something in time."""
        super().pause_writing()
        # Closing would wait until the rest is read.
        self._read_timer = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has."""
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
        super().resume_writing()

    def _await_head(self) -> None:
        self._stop()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _stop(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
