"""A model folder that continues chats for another tool: trace and answer apart, nothing hidden.

The same sampler, chat format and opening of the trace as in training and evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from exante import traces
from exante.errors import InputError
from exante.models.devices import sampling_dtype
from exante.models.folders import weights_fingerprint
from exante.models.load import context_length, load_chat, load_model
from exante.models.sample import Request, Sampled, SamplingSettings, sample
from exante.records import Decision, Message
from exante.stages.runs import model_folder, trace_of

OpenTrace = Literal["auto", "open", "free"]
"""`open` forces the start of the trace, `free` forces nothing, `auto` opens it for models that were
taught traces."""
_TRACES = ("auto", "open", "free")


@dataclass(frozen=True, slots=True)
class Ask:
    """One chat to continue."""

    id: str
    """Names the random stream of its samples."""
    messages: tuple[Message, ...]
    prefill: str = ""
    """Text that somebody else puts at the start of the assistant's turn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One continued chat. Token counts are of the model's own tokenizer."""

    trace: str | None
    """What stands between the think tags; None if the turn opened no trace."""
    answer: str | None
    """The whole answer, a prefill of answer text included; None if the trace never ended."""
    written: str
    """The answer without the part that a prefill wrote; empty if the trace never ended."""
    finish: Literal["stop", "length"]
    prompt_tokens: int
    """Of everything before the model's own part: prompt and prefill."""
    turn_tokens: int
    """Of the turn behind the prefill; the forced start of a trace and EOS included."""
    trace_tokens: int
    """Of the whole trace, tags included, whoever wrote it."""
    answer_tokens: int
    """Of the whole answer, whoever wrote it."""
    decision: Decision | None = None
    """What the trace decided; None where it states nothing that can be read."""
    cited: tuple[str, ...] = ()
    """Clauses that the trace checked, in order."""


class Assistant:
    """A loaded model; not for use by two threads at a time."""

    def __init__(self, name: str, *, trace: str = "auto", device: str | None = None) -> None:
        """Load a model folder, a run folder's last model, `miniature`, or a hub id.

        Raises:
            InputError: there is no such model, or `trace` is no known word.
        """
        if trace not in _TRACES:
            raise InputError(f"trace={trace} is unknown", fix=f"known: {', '.join(_TRACES)}")
        self.folder = model_folder(name)
        self.name = name
        self.model = load_model(self.folder, dtype=sampling_dtype("auto", device), device=device)
        self.chat = load_chat(self.folder)
        self.opens = (trace_of(str(self.folder)) if trace == "auto" else trace) == "open"
        self.limit = context_length(self.model)
        """Most tokens of prompt and turn together."""

    @property
    def fingerprint(self) -> str:
        """sha256 over weights, config and tokenizer."""
        return weights_fingerprint(self.folder)

    def request(self, ask: Ask) -> Request:
        """Token ids of the prompt, and those that are forced: the prefill, else the trace's start.

        Trace tags in user and system text are escaped there, as everywhere.
        """
        opening = self.chat.beginning("open" if self.opens else "free")
        forced = ask.prefill or opening
        ids = self.chat.encode(forced) if forced else ()
        return Request(ask.id, self.chat.prompt_ids(ask.messages), ids)

    def room(self, ask: Ask) -> int:
        """How many tokens may be sampled behind this prompt; below 1 if it is too long."""
        return self._room(self.request(ask))

    def answer(self, asks: Sequence[Ask], settings: SamplingSettings) -> list[list[Turn]]:
        """`settings.n` turns for each chat, in the given order.

        Raises:
            InputError: two chats share an id, or one is too long for the model.
        """
        known = {ask.id: ask for ask in asks}
        if len(known) < len(asks):
            raise InputError("two chats share an id", fix="give each an id of its own")
        requests = {ask.id: self.request(ask) for ask in asks}
        for request in requests.values():
            if self._room(request) < settings.max_new_tokens:
                raise InputError(
                    f"prompt and turn may take more than the {self.limit} tokens the model reads",
                    where=request.id,
                    fix="ask for fewer tokens or shorten the prompt",
                )
        turns: dict[tuple[str, int], Turn] = {}
        for sampled in sample(self.model, self.chat, list(requests.values()), settings):
            turn = self._turn(sampled, requests[sampled.id], known[sampled.id])
            turns[sampled.id, sampled.sample] = turn
        return [[turns[ask.id, index] for index in range(settings.n)] for ask in asks]

    def ask(self, prompt: str | Sequence[Message], max_new_tokens: int = 512) -> Turn:
        """The greedy turn to one user message, or to a whole chat: trace, decision and answer.

        Raises:
            InputError: the prompt alone is too long for the model.
        """
        chat = [Message(role="user", content=prompt)] if isinstance(prompt, str) else prompt
        ask = Ask("ask", tuple(chat))
        most = max(1, min(max_new_tokens, self.room(ask)))
        ((turn,),) = self.answer([ask], SamplingSettings(max_new_tokens=most))
        return turn

    def reply(self, prompt: str, max_new_tokens: int = 512) -> str:
        """The greedy answer to one user message; empty if it was cut or the trace never ended.

        What tools that call a function want: no trace, and no half answer.
        """
        turn = self.ask(prompt, max_new_tokens)
        return turn.written if turn.finish == "stop" else ""

    def _room(self, request: Request) -> int:
        return self.limit - len(request.prompt_ids) - len(request.forced_ids)

    def _turn(self, sampled: Sampled, request: Request, ask: Ask) -> Turn:
        chat, finished = self.chat, sampled.finish == "stop"
        pieces = chat.pieces([i for i in sampled.token_ids if i not in chat.stop_ids])
        parsed = traces.parse("".join(pieces), tag=chat.tag, finished=finished)
        trace_tokens, answer_tokens = traces.section_token_counts(pieces, chat.tag)
        prefilled = len(request.forced_ids) if ask.prefill else 0
        stated = parsed.trace
        return Turn(
            trace=parsed.trace_text if parsed.present else None,
            answer=parsed.answer,
            written=self._written(parsed.answer or "", ask.prefill),
            finish=sampled.finish,
            prompt_tokens=len(request.prompt_ids) + prefilled,
            turn_tokens=len(sampled.token_ids) - prefilled,
            trace_tokens=trace_tokens,
            answer_tokens=answer_tokens,
            decision=stated.decision if stated else None,
            cited=stated.cited if stated else (),
        )

    def _written(self, answer: str, prefill: str) -> str:
        """The answer behind the part of it that stands in the prefill."""
        given = traces.parse(prefill, tag=self.chat.tag).answer
        return answer.removeprefix(given or "")


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop string in it, and whether there was one; empty ones are none.

    For answers only: inside a trace a stop string means nothing.
    """
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)
