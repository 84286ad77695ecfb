"""One thread that owns the model: requests of all clients are decoded together.

A request joins as soon as there is a free slot, and leaves with its last token, or when its client
is gone. Nothing here knows HTTP.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from exante.models.chat import Chat
from exante.models.live import LiveDecoder, LiveRow, Step
from exante.models.sample import Request, SamplingSettings
from exante.serving.protocol import Choice
from exante.serving.splitting import Delta
from exante.serving.turn import TraceSettings, WrittenTurn

_LOG = logging.getLogger("exante.serving")
_STREAM = "chat"
"""Names the random streams of all requests: what is drawn depends on seed and choice alone."""
_FAILING = 3
"""Failures in a row that no single request explains."""


@dataclass(frozen=True, slots=True)
class Written:
    """More of one choice; the last one brings the whole."""

    index: int
    delta: Delta
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The request cannot be answered; what went wrong stands in the log."""


Event = Written | Failed
Tell = Callable[[Event], None]
"""Called from the engine's thread."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request of a client."""

    prompt_ids: tuple[int, ...]
    settings: SamplingSettings
    """`n` choices, each of at most `max_new_tokens` sampled tokens."""
    tell: Tell
    stops: Sequence[str] = ()


class Busy(Exception):  # noqa: N818 (no error of ours: the client comes back)
    """As many requests wait as may wait."""


class Engine:
    """Decodes jobs until it is closed."""

    def __init__(
        self,
        model: Any,
        chat: Chat,
        traces: TraceSettings,
        *,
        rows: int,
        columns: int,
        queue: int,
    ) -> None:
        """`rows` turns at a time of at most `columns` tokens; `queue` more requests may wait.

        Raises:
            InputError: the model cannot be decoded in slots.
        """
        self.chat, self.traces, self.columns, self.queue = chat, traces, columns, queue
        forced = chat.beginning(traces.start)
        self.forced = chat.encode(forced) if forced else ()
        """First tokens of every turn, put there and not sampled."""
        self._new_decoder = partial(LiveDecoder, model, chat, rows, columns)
        self._decoder = self._new_decoder()
        self._condition = threading.Condition()
        self._waiting: deque[LiveRow] = deque()
        self._turns: dict[LiveRow, tuple[Job, WrittenTurn]] = {}
        """Of every row that waits or is decoded."""
        self._gone: set[LiveRow] = set()
        """Rows whose client does not want them any more."""
        self._failures = 0
        """Since tokens were last written."""
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="exante-engine", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> list[LiveRow]:
        """Take a job in; its rows are for `cancel`.

        Raises:
            Busy: too many wait already.
        """
        request = Request(_STREAM, job.prompt_ids, self.forced)
        rows = [LiveRow(request, index, job.settings) for index in range(job.settings.n)]
        with self._condition:
            if self._closing or self._waits() >= self.queue + self._free():
                raise Busy
            for row in rows:
                turn = WrittenTurn(row.sample, self.chat, self.traces, job.stops)
                self._turns[row] = job, turn
            self._waiting.extend(rows)
            self._condition.notify()
        return rows

    def cancel(self, rows: Sequence[LiveRow]) -> None:
        """Nobody waits for these rows any more; those that are finished are passed over."""
        with self._condition:
            self._gone.update(row for row in rows if row in self._turns)
            self._condition.notify()

    def counts(self) -> dict[str, int]:
        """How many turns are decoded, and how many wait."""
        with self._condition:
            waiting = len(self._waiting)
            return {"running": len(self._turns) - waiting, "waiting": waiting}

    @property
    def failing(self) -> bool:
        """One failure after another, and nothing written between them: a restart is due."""
        return self._failures >= _FAILING

    def close(self) -> None:
        """Take nothing in any more, finish what there is, and end the thread."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _waits(self) -> int:
        """Requests of which no turn has started."""
        return len({id(self._turns[row][0]) for row in self._waiting})

    def _free(self) -> int:
        return max(0, self._decoder.cache.slots.rows - (len(self._turns) - len(self._waiting)))

    def _work(self) -> None:
        while (joining := self._next()) is not None:
            try:
                self._told(self._decoder.advance(joining))
                self._failures = 0
            except Exception:
                # Out of memory, say: these requests fail, and the next ones are served.
                _LOG.exception("decoding failed")
                self._failures += 1
                self._fail()

    def _next(self) -> list[LiveRow] | None:
        """Wait until there is something to decode; the rows that join, None when all is done."""
        with self._condition:
            while True:
                self._forget_gone()
                if self._turns:
                    return self._decoder.taken(self._waiting)
                if self._closing:
                    return None
                self._condition.wait()

    def _forget_gone(self) -> None:
        gone, self._gone = self._gone, set()
        if gone:
            self._decoder.drop(gone)
            for row in gone & set(self._waiting):
                self._waiting.remove(row)
            for row in gone:
                self._turns.pop(row, None)

    def _told(self, steps: Sequence[Step]) -> None:
        """Pass on what the new tokens mean, and steer the rows by it."""
        for step in steps:
            job, turn = self._turns[step.row]
            if not turn.count:
                self._begin(job, turn)
            delta = turn.take(step.token)
            finish = "stop" if turn.stopped else step.finish
            if finish is None:
                ways = turn.ways_out()
                if ways:
                    self._decoder.restrict(step.row, ways)
                if delta.reasoning or delta.content:
                    job.tell(Written(turn.index, delta))
                continue
            if step.finish is None:
                self._decoder.drop([step.row])
            with self._condition:
                del self._turns[step.row]
            last, choice = turn.end(finish)
            both = Delta(delta.reasoning + last.reasoning, delta.content + last.content)
            job.tell(Written(turn.index, both, choice))

    def _begin(self, job: Job, turn: WrittenTurn) -> None:
        """Forced tokens are part of the turn."""
        for token in self.forced:
            delta = turn.take(token)
            if delta.reasoning or delta.content:
                job.tell(Written(turn.index, delta))

    def _fail(self) -> None:
        """Tell all requests, and begin with empty slots."""
        with self._condition:
            failed = {id(job): job for job, _ in self._turns.values()}
            self._turns.clear()
            self._waiting.clear()
            self._gone.clear()
        for job in failed.values():
            job.tell(Failed())
        try:
            self._decoder = self._new_decoder()
        except Exception:
            # A device that is out of order, say. The next request fails on the old slots, is told,
            # and this is tried again: without the thread, all later ones would wait in vain.
            _LOG.exception("the slots could not be made anew")
