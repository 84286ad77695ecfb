"""A turn's text, piece by piece, to what was reasoned and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Delta:
    """What a piece of text adds; both may be empty."""

    reasoning: str = ""
    content: str = ""


class Splitter:
    """Pieces of text in, deltas out; joined, they are what `traces.parse` reads in the whole.

    Text that may yet turn out to be a tag or a stop string is held back. Stop strings count in the
    answer only.
    """

    def __init__(self, tag: str = "think", stops: Sequence[str] = ()) -> None:
        """`stops` are not empty."""
        self.stops = tuple(stops)
        self.stopped = False
        """Has a stop string ended the answer?"""
        self.state: Literal["start", "trace", "answer"] = "start"
        self._open, self._close = f"<{tag}>", f"</{tag}>"
        self._held = ""
        self._trimmed = False
        """An answer behind a trace has no white space around it."""
        self._begun = False

    def feed(self, piece: str) -> Delta:
        """What can be told for certain after this piece."""
        if self.stopped:
            return Delta()
        self._held += piece
        if self.state == "start":
            self._look_for_trace()
        reasoning = self._reasoned() if self.state == "trace" else ""
        return Delta(reasoning, self._answered() if self.state == "answer" else "")

    def end(self) -> Delta:
        """What was held back, now that nothing follows."""
        rest, self._held = self._held, ""
        if self.stopped:
            return Delta()
        if self.state == "trace":
            return Delta(reasoning=rest)
        return Delta(content=rest.rstrip() if self._trimmed else rest)

    def _look_for_trace(self) -> None:
        begun = self._held.lstrip()
        if begun.startswith(self._open):
            self.state, self._held = "trace", begun[len(self._open) :]
        elif not self._open.startswith(begun):
            self.state = "answer"

    def _reasoned(self) -> str:
        reasoning, close, rest = self._held.partition(self._close)
        if close:
            self.state, self._held, self._trimmed = "answer", rest, True
            return reasoning
        return self._told(partial_match(self._held, self._close))

    def _answered(self) -> str:
        if self._trimmed and not self._begun:
            self._held = self._held.lstrip()
            self._begun = bool(self._held)
        places = [place for stop in self.stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.stopped = True
            return self._held[: min(places)]
        blank = len(self._held) - len(self._held.rstrip()) if self._trimmed else 0
        return self._told(max([blank, *(partial_match(self._held, stop) for stop in self.stops)]))

    def _told(self, held: int) -> str:
        """All but the last `held` characters."""
        cut = len(self._held) - held
        told, self._held = self._held[:cut], self._held[cut:]
        return told


def partial_match(text: str, word: str) -> int:
    """How many characters at the end of the text begin the word, but are not all of it."""
    most = min(len(text), len(word) - 1)
    return next(size for size in range(most, -1, -1) if text.endswith(word[:size]))
