"""The Inspect model provider `exante/<folder>`: our sampler, trace apart, prefill honoured.

Greedy unless a temperature is asked for. Requests that arrive together are sampled together.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from exante.errors import InputError
from exante.integrations.assistant import Ask, Assistant, Turn, cut
from exante.integrations.inspect.messages import chat_of, choice, plain_errors
from exante.models.sample import SamplingSettings

_MAX_TOKENS = 512
"""Of a turn, where the task does not say."""
_TOGETHER = 32
_GATHER_SECONDS = 0.02
"""How long the first request waits for others; a turn takes much longer."""
_UNKNOWN = (
    "best_of",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "presence_penalty",
    "response_schema",
    "top_k",
    "top_p",
)
"""Settings that would change the answer and that our sampler does not have."""


@dataclass(slots=True, eq=False)
class _Ticket:
    """One request on its way through the sampler."""

    ask: Ask
    settings: SamplingSettings
    turns: list[Turn] | None = None
    error: Exception | None = None


class ExanteAPI(ModelAPI):
    """Answers Inspect's requests with a model folder, a run's last model, `miniature`, or a hub id.

    Model arguments (`-M`): `trace` is open, free or auto (opened for models that were taught
    traces); `device` is a torch device.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 (as in the base class)
        trace: str = "auto",
        device: str | None = None,
        **unknown: Any,
    ) -> None:
        """Load the model.

        Raises:
            PrerequisiteError: there is no such model, or an argument is not known.
        """
        super().__init__(model_name, base_url, api_key, [], config)
        with plain_errors():
            if unknown:
                raise InputError(
                    f"unknown model argument {', '.join(unknown)}", fix="known: trace, device"
                )
            self._assistant = Assistant(model_name, trace=trace, device=device)
        self._seen: Counter[str] = Counter()
        self._sampler = _Gathering(self._assistant.answer)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,  # noqa: ARG002 (no tools, no choice)
        config: GenerateConfig,
    ) -> ModelOutput:
        """One turn, or `num_choices` of them; the trace is reasoning, never completion.

        Raises:
            PrerequisiteError: tools, media or a sampling setting that we do not have.
        """
        with plain_errors():
            _require_known(tools, config)
            messages, prefill = chat_of(input, self._assistant.chat.tag)
        ask = Ask(self._id(messages, prefill), messages, prefill)
        room, wanted = self._assistant.room(ask), config.max_tokens or _MAX_TOKENS
        if room < 1:
            return ModelOutput.from_content(self.model_name, "", stop_reason="model_length")
        settings = SamplingSettings(
            n=config.num_choices or 1,
            max_new_tokens=min(wanted, room),
            temperature=config.temperature or 0.0,
            seed=config.seed or 0,
        )
        start = time.monotonic()
        turns = await self._sampler.ask(ask, settings)
        limit: StopReason = "max_tokens" if wanted <= room else "model_length"
        return self._output(turns, config.stop_seqs or [], limit, time.monotonic() - start)

    def max_tokens(self) -> int:
        """Length limit of a turn where none is asked for."""
        return _MAX_TOKENS

    def max_connections(self) -> int:
        """How many requests Inspect keeps waiting: they are sampled together."""
        return _TOGETHER

    def _id(self, messages: Sequence[Any], prefill: str) -> str:
        """Content and how often it was asked: repeated requests get random streams of their own."""
        digest = hashlib.sha256(repr((messages, prefill)).encode()).hexdigest()[:16]
        self._seen[digest] += 1
        return f"{digest}-{self._seen[digest]}"

    def _output(
        self, turns: Sequence[Turn], stops: Sequence[str], limit: StopReason, seconds: float
    ) -> ModelOutput:
        choices = []
        for turn in turns:
            written, stopped = cut(turn.written, stops)
            answer = turn.answer
            if answer is not None and stopped:
                answer = answer[: len(answer) - len(turn.written) + len(written)]
            whole = turn.finish == "stop" or stopped
            choices.append(
                choice(
                    trace=turn.trace,
                    answer=answer,
                    written=written,
                    stop="stop" if whole else limit,
                    model=self.model_name,
                )
            )
        return ModelOutput(
            model=self.model_name, choices=choices, usage=_usage(turns), time=seconds
        )


class _Gathering:
    """Requests that arrive while others are being sampled go to the model together."""

    def __init__(
        self, answer: Callable[[Sequence[Ask], SamplingSettings], list[list[Turn]]]
    ) -> None:
        self._answer = answer
        self._waiting: list[_Ticket] = []
        self._lock = anyio.Lock()

    async def ask(self, ask: Ask, settings: SamplingSettings) -> list[Turn]:
        ticket = _Ticket(ask, settings)
        self._waiting.append(ticket)
        await anyio.sleep(_GATHER_SECONDS)
        async with self._lock:
            # Whoever comes first does the work of all who wait; the others find theirs done.
            if ticket in self._waiting:
                batch, self._waiting = self._waiting, []
                # The others' work is not given up because this one's asker went away.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._work, batch)
        if ticket.turns is None:
            raise ticket.error or RuntimeError("the request was lost")
        return ticket.turns

    def _work(self, batch: Sequence[_Ticket]) -> None:
        for settings in dict.fromkeys(ticket.settings for ticket in batch):
            same = [ticket for ticket in batch if ticket.settings == settings]
            try:
                answers = self._answer([ticket.ask for ticket in same], settings)
            except Exception as error:  # everyone who waits must hear of it
                for ticket in same:
                    ticket.error = error
            else:
                for ticket, turns in zip(same, answers, strict=True):
                    ticket.turns = turns


def _require_known(tools: Sequence[ToolInfo], config: GenerateConfig) -> None:
    if tools:
        raise InputError("exante models call no tools", fix="use a task without tools")
    asked = [name for name in _UNKNOWN if getattr(config, name, None) not in (None, False)]
    if asked:
        raise InputError(
            f"exante does not sample with {', '.join(asked)}", fix="leave them out of the task"
        )


def _usage(turns: Sequence[Turn]) -> ModelUsage:
    """Tokens of all choices; the prompt was read once. Forced starts of traces are output."""
    read, made = turns[0].prompt_tokens, sum(turn.turn_tokens for turn in turns)
    return ModelUsage(
        input_tokens=read,
        output_tokens=made,
        total_tokens=read + made,
        reasoning_tokens=sum(turn.trace_tokens for turn in turns),
    )
