"""OpenAI's chat protocol as far as it is spoken here: requests checked, answers and errors built.

What is not supported is refused by name; nothing that a client asks for is silently left out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from exante import traces
from exante.errors import said
from exante.records import Message
from exante.serving.decisions import DecisionRecord

Finish = Literal["stop", "length"]
_NEUTRAL: dict[str, Any] = {
    "top_p": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logprobs": False,
    "store": False,
}
"""Values by which a client asks for nothing; others of these fields are not supported."""
_MOST_CHOICES = 16
_SHOWN = 80
"""Letters of a name of the client's that are repeated to it."""


class ApiError(Exception):
    """What a client is told instead of an answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_seconds: int | None = None,
    ) -> None:
        """`param` is the field that is wrong; `retry_seconds` when to come back."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_seconds = retry_seconds

    @property
    def body(self) -> dict[str, Any]:
        """The error in OpenAI's form."""
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {
            "message": self.message,
            "type": kinds.get(self.status, kind),
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TextPart(_Asked):
    """A part of a message; pictures and sound are not read."""

    type: Literal["text"]
    text: str


class ChatMessage(_Asked):
    """One turn of the chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class StreamOptions(_Asked):
    """How a stream ends."""

    include_usage: bool = False


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


class ChatRequest(_Asked):
    """What a client asks of `/v1/chat/completions`."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int | None = Field(default=None, ge=-(1 << 63), lt=1 << 63)
    n: int = Field(default=1, ge=1, le=_MOST_CHOICES)
    stop: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        Field(max_length=4),
        BeforeValidator(_one_or_more),
    ] = []

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        if self.messages[-1].role != "user":
            # The beginning of a turn is the server's: whoever writes it can skip the trace.
            raise ValueError("messages must end with a user message; a turn cannot be prefilled")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("give max_tokens or max_completion_tokens, not both")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options are for streams only")
        return self

    @property
    def tokens(self) -> int | None:
        """Most tokens of a turn, if the client says so."""
        return self.max_tokens or self.max_completion_tokens

    def chat(self, tag: str) -> tuple[Message, ...]:
        """The messages; trace tags in any of them are data, in earlier answers, too."""
        return tuple(
            Message(
                role="system" if m.role == "developer" else m.role,
                content=traces.escape(m.text, tag),
            )
            for m in self.messages
        )


def parse_request(document: object) -> ChatRequest:
    """The request that a body holds.

    Raises:
        ApiError: 400, which field is wrong or not supported.
    """
    if not isinstance(document, dict):
        raise ApiError(400, "the body is no JSON object")
    # Clients write out fields that they leave at nothing.
    asked = {
        key: value
        for key, value in document.items()
        if value is not None and not (key in _NEUTRAL and _NEUTRAL[key] == value)
    }
    try:
        return ChatRequest.model_validate(asked)
    except ValidationError as error:
        # A field that is not known explains more than one that is missing because of it, and one
        # inside of another more than that other's being of no kind at all.
        first = min(
            error.errors(), key=lambda one: (one["type"] != "extra_forbidden", -len(one["loc"]))
        )
        # Names of the kinds of content that were tried are no part of the client's document.
        place = [str(p)[:_SHOWN] for p in first["loc"] if p != "str" and "[" not in str(p)]
        param = ".".join(place) or None
        if first["type"] == "extra_forbidden":
            message, code = f"{param} is not supported by this server", "unsupported_parameter"
        else:
            message, code = said(first["msg"]), "invalid_value"
            message = f"{param}: {message}" if param else message
        raise ApiError(400, message, param=param, code=code) from None


class Choice(BaseModel):
    """One finished turn."""

    model_config = ConfigDict(frozen=True)

    index: int
    reasoning: str | None
    """None where there is none, or the server does not show it."""
    content: str
    finish: Finish
    record: DecisionRecord
    tokens: int
    """Of the whole turn: forced ones and the end included."""
    reasoning_tokens: int


def completion(
    name: str, created: int, model: str, choices: list[Choice], prompt: int
) -> dict[str, Any]:
    """The whole answer to a request that is no stream."""
    return {
        "id": name,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": choice.index,
                "message": {"role": "assistant", "content": choice.content}
                | ({"reasoning_content": choice.reasoning} if choice.reasoning is not None else {}),
                "finish_reason": choice.finish,
                "logprobs": None,
                "exante": choice.record.model_dump(mode="json"),
            }
            for choice in choices
        ],
        "usage": usage(choices, prompt),
    }


def chunk(
    name: str, created: int, model: str, choices: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """One event of a stream."""
    head = {"id": name, "object": "chat.completion.chunk", "created": created, "model": model}
    return {**head, "choices": choices, **more}


def piece(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    """What a stream adds to one choice."""
    return {"index": index, "delta": delta, "finish_reason": None, "logprobs": None}


def last_piece(choice: Choice) -> dict[str, Any]:
    """The end of one choice in a stream, with its record."""
    record = choice.record.model_dump(mode="json")
    return {**piece(choice.index, {}), "finish_reason": choice.finish, "exante": record}


def usage(choices: list[Choice], prompt: int) -> dict[str, Any]:
    """Token counts of a request; the prompt counts once."""
    written = sum(choice.tokens for choice in choices)
    reasoned = sum(choice.reasoning_tokens for choice in choices)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "completion_tokens_details": {"reasoning_tokens": reasoned},
    }


def model_card(name: str, created: int) -> dict[str, Any]:
    """A model as `/v1/models` lists it."""
    return {"id": name, "object": "model", "created": created, "owned_by": "exante"}
