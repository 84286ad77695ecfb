"""One turn while it is written: its text, its parts, and when its trace has to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exante import traces
from exante.models.chat import Chat
from exante.models.streamed import TextStream
from exante.rules import RuleSet
from exante.serving.closing import closings, may_be_short
from exante.serving.decisions import Mode, decision_record
from exante.serving.protocol import Choice, Finish
from exante.serving.splitting import Delta, Splitter


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """How a server deals with traces."""

    mode: Mode = "full"
    opened: bool = False
    """Is the start of a trace forced? As the model was taught."""
    most_tokens: int | None = None
    """A trace of so many tokens is closed; None lets it run."""
    rules: RuleSet | None = None
    """Whose clauses may be cited; None lets any pass."""

    @property
    def start(self) -> traces.Start:
        """How a turn begins."""
        if self.mode == "off":
            return "closed"
        return "open" if self.opened else "free"


class WrittenTurn:
    """Takes the tokens of one turn in order, forced ones first."""

    def __init__(
        self, index: int, chat: Chat, settings: TraceSettings, stops: Sequence[str]
    ) -> None:
        """`index` is the number of the choice; `stops` end its answer."""
        self.index = index
        self.chat = chat
        self.settings = settings
        self.stream = TextStream(chat)
        self.splitter = Splitter(chat.tag, stops)
        self.pieces: list[str] = []
        """The text that each token added."""
        self.count = 0
        self.closed_early = False
        self._reasoning: list[str] = []
        self._content: list[str] = []

    @property
    def stopped(self) -> bool:
        """Has a stop string ended the answer?"""
        return self.splitter.stopped

    def take(self, token: int) -> Delta:
        """What one more token adds for the client."""
        self.count += 1
        if token in self.chat.stop_ids:
            return Delta()
        piece = self.stream.add(token)
        self.pieces.append(piece)
        return self._told(self.splitter.feed(piece))

    def ways_out(self) -> list[tuple[int, ...]]:
        """If the trace has to end now: the token sequences of which one ends it. Told once."""
        if self.closed_early or self.splitter.state != "trace" or not self._is_due():
            return []
        self.closed_early = True
        body = self._body()
        return [self.chat.encode(way) for way in closings(body, self.chat.tag)]

    def end(self, finish: Finish) -> tuple[Delta, Choice]:
        """What was held back, and the finished turn."""
        rest = self.stream.end()
        if rest:
            self.pieces[-1] += rest
        held, end = self.splitter.feed(rest), self.splitter.end()
        last = self._told(Delta(held.reasoning + end.reasoning, held.content + end.content))
        shown = self.settings.mode != "hidden" and bool(self._reasoning)
        record = decision_record(
            "".join(self.pieces),
            tag=self.chat.tag,
            finished=finish == "stop",
            closed_early=self.closed_early,
            mode=self.settings.mode,
            rules=self.settings.rules,
        )
        choice = Choice(
            index=self.index,
            reasoning="".join(self._reasoning) if shown else None,
            content="".join(self._content),
            finish=finish,
            record=record,
            tokens=self.count,
            reasoning_tokens=traces.section_token_counts(self.pieces, self.chat.tag)[0],
        )
        return last, choice

    def _told(self, delta: Delta) -> Delta:
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        if delta.content:
            self._content.append(delta.content)
        if self.settings.mode == "hidden":
            return Delta(content=delta.content)
        return delta

    def _is_due(self) -> bool:
        most = self.settings.most_tokens
        if most is not None and self.count >= most:
            return True
        return self.settings.mode == "adaptive" and may_be_short(self._body())

    def _body(self) -> str:
        """What stands behind the think tag so far."""
        return "".join(self.pieces).lstrip().removeprefix(f"<{self.chat.tag}>")
