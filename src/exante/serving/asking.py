"""A checked request to a job for the engine: what this model and this server can take."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import TemplateError

from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.sample import SamplingSettings
from exante.records import Message
from exante.serving.engine import Engine, Job, Tell
from exante.serving.protocol import ApiError, ChatRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask for."""

    tokens: int = 2048
    """Most tokens of one turn, trace included; also what is taken where a client names none."""
    seconds: float = 300.0
    """From the request to the end of its answer."""
    body_bytes: int = 1 << 20
    """Of a request."""


def job_of(asked: ChatRequest, engine: Engine, limits: Limits, seed: int, tell: Tell) -> Job:
    """The job; its sampled tokens and the forced ones together are at most what was asked for.

    Raises:
        ApiError: 400, the messages do not fit the model's template or its length.
    """
    chat = engine.chat
    prompt = _prompt_ids(chat, asked.chat(chat.tag))
    room = engine.columns - len(prompt)
    tokens = asked.tokens or min(limits.tokens, max(room, 1))
    if tokens > limits.tokens:
        message = f"max_tokens: at most {limits.tokens} on this server"
        raise ApiError(400, message, param="max_tokens", code="invalid_value")
    if tokens > room:
        message = (
            f"the prompt has {len(prompt)} tokens, and with {tokens} more it is longer than the "
            f"{engine.columns} that are read here"
        )
        raise ApiError(400, message, param="messages", code="context_length_exceeded")
    sampled = tokens - len(engine.forced)
    if sampled < 1:
        message = f"max_tokens: the start of the trace alone has {len(engine.forced)}"
        raise ApiError(400, message, param="max_tokens", code="invalid_value")
    settings = SamplingSettings(
        n=asked.n, max_new_tokens=sampled, temperature=asked.temperature, seed=seed
    )
    return Job(prompt, settings, tell, tuple(asked.stop))


def _prompt_ids(chat: Chat, messages: tuple[Message, ...]) -> tuple[int, ...]:
    for place, message in enumerate(messages):
        found = next((token for token in _control_tokens(chat) if token in message.content), None)
        if found is not None:
            # As text it would begin or end a turn, and its writer could speak as someone else.
            problem = f"messages.{place}.content: holds the control token {found}"
            raise ApiError(400, problem, param="messages", code="control_token")
    try:
        return chat.prompt_ids(messages)
    except (TemplateError, InputError) as error:
        problem = f"messages: the model's chat template does not take them: {error}"
        raise ApiError(400, problem, param="messages", code="invalid_value") from None


def _control_tokens(chat: Chat) -> list[str]:
    """Special tokens of the tokenizer, but for the think tags, which are escaped in messages."""
    tags = (f"<{chat.tag}>", f"</{chat.tag}>")
    added = chat.tokenizer.added_tokens_decoder.values()
    return [str(token) for token in added if token.special and str(token) not in tags]
