"""Whoever continues a chat: a local model, an endpoint, a script in a test.

Attackers, teachers, rubric judges and guards talk through this; what is behind it is loaded in
`models`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, runtime_checkable

from exante.records import Message, Record


class Speaker(Protocol):
    """Something that answers conversations."""

    @property
    def name(self) -> str:
        """Model and version, written beside what it said."""
        ...

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """The next assistant turn of each conversation, in order; greedy where that is known.

        Raises:
            RunError: it could not be reached or gave no text, after retries.
        """
        ...


class Said(Record):
    """One reply of a server."""

    text: str
    """The answer; reasoning that the server tells apart is not in it."""
    reasoning: str = ""
    finish: Literal["stop", "length"] = "stop"
    prompt_tokens: int | None = None
    """As the server counts them; None where it does not say."""
    tokens: int | None = None
    """Of reasoning and answer, as the server counts them."""


class Memory(Protocol):
    """One speaker's replies by what was asked, so that nothing is asked twice."""

    def get(self, key: str) -> Said | None:
        """What was said to that question, if it was asked before."""
        ...

    def put(self, key: str, said: Said) -> None:
        """Keep a reply; it outlives this process as soon as the call returns."""
        ...

    def all(self) -> Iterable[Said]:
        """Everything that was said."""
        ...


CHARACTERS_PER_TOKEN = 4
"""By which the length of a text is estimated where no tokenizer is at hand."""


class Bill(Record):
    """What a server was asked, or will be."""

    requests: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    """Written by the server; before it was asked, as many as it may write."""
    retries: int = 0
    uncounted: int = 0
    """Replies for which the server told no tokens; they are in no sum."""
    cost: float | None = None
    """In the currency of the prices that were given; None without prices."""

    def __add__(self, other: Bill) -> Bill:
        """Both together; the cost is known where both are."""
        known = self.cost is not None and other.cost is not None
        return Bill(
            requests=self.requests + other.requests,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            tokens=self.tokens + other.tokens,
            retries=self.retries + other.retries,
            uncounted=self.uncounted + other.uncounted,
            cost=(self.cost or 0.0) + (other.cost or 0.0) if known else None,
        )

    def __str__(self) -> str:
        """A line for a person."""
        parts = [f"{self.requests:,} requests, {self.prompt_tokens:,} + {self.tokens:,} tokens"]
        if self.cost is not None:
            parts.append(f"cost {self.cost:,.4f}")
        if self.retries:
            parts.append(f"{self.retries:,} tried again")
        if self.uncounted:
            parts.append(f"{self.uncounted:,} replies without a count of tokens")
        return ", ".join(parts)


@runtime_checkable
class Metered(Protocol):
    """A speaker that is paid by the token."""

    @property
    def bill(self) -> Bill:
        """What it was asked so far."""
        ...

    def foresee(self, conversations: Sequence[Sequence[Message]]) -> Bill:
        """The most that these conversations may take, by four characters to a token."""
        ...


class Completer(Protocol):
    """Something that continues ready prompts, without a chat template of its own."""

    @property
    def name(self) -> str:
        """Model and version, written beside what it said."""
        ...

    def complete(self, texts: Sequence[str], max_new_tokens: int) -> list[str]:
        """The greedy continuation of each text, in order; empty where the text is too long."""
        ...

    def chances(self, texts: Sequence[str], options: tuple[str, str]) -> list[float | None]:
        """Of each text, the chance of `options[0]` as next token against `options[1]`, in order.

        None where the text is too long to be read.
        """
        ...
