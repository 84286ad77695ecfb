"""A name to something that answers chats: a model folder, a hub id, or an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exante.errors import InputError, RunError
from exante.models.chat import Chat
from exante.models.devices import sampling_dtype
from exante.models.endpoint import EndpointSpeaker
from exante.models.folders import resolve, weights_fingerprint
from exante.models.load import context_length, load_chat, load_model
from exante.models.sample import Request, SamplingSettings, sample
from exante.models.servers import settings_for
from exante.records import Message
from exante.speakers import Memory, Speaker

_SCHEMES = ("http://", "https://")
_REPLY_TOKENS = 1024


class LocalSpeaker:
    """A model in this process; greedy, many conversations at a time."""

    def __init__(
        self, model: Any, chat: Chat, name: str, max_new_tokens: int = _REPLY_TOKENS
    ) -> None:
        """`model` and `chat` belong together; a reply has at most `max_new_tokens` tokens."""
        self.model = model
        self.chat = chat
        self.name = name
        self.settings = SamplingSettings(max_new_tokens=max_new_tokens)

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """The next turn of each conversation, in order; one that the limit cuts is told as far.

        Raises:
            RunError: a conversation is longer than the model can read.
        """
        opening = self.chat.encode(self.chat.beginning("free"))
        requests = [
            Request(str(place), self.chat.prompt_ids(messages), opening)
            for place, messages in enumerate(conversations)
        ]
        limit = context_length(self.model)
        longest = max((len(r.prompt_ids) + len(r.forced_ids) for r in requests), default=0)
        if longest + self.settings.max_new_tokens > limit:
            raise RunError(
                f"a conversation of {longest} tokens and a reply of "
                f"{self.settings.max_new_tokens} are more than the {limit} it reads",
                where=self.name,
                fix="take a model that reads more",
            )
        turns = sample(self.model, self.chat, requests, self.settings)
        texts = {turn.id: self.chat.decode(turn.token_ids) for turn in turns}
        return [texts[request.id] for request in requests]


def load_speaker(
    name: str, max_new_tokens: int = _REPLY_TOKENS, memory: Memory | None = None
) -> Speaker:
    """The speaker of that name: a folder, `miniature`, a hub id, or `http(s)://HOST/v1#MODEL`.

    An endpoint's key is read from the environment variable EXANTE_API_KEY, its pace and prices from
    the file in EXANTE_SERVERS; `memory` keeps what it says.

    Raises:
        InputError: there is no such model, or the endpoint's URL lacks the model's name.
    """
    if is_endpoint(name):
        return load_endpoint(name, max_new_tokens, memory)
    folder = resolve(name)
    model = load_model(folder, dtype=sampling_dtype("auto"))
    version = weights_fingerprint(folder)[:8]
    return LocalSpeaker(model, load_chat(folder), f"{folder.name}@{version}", max_new_tokens)


def load_endpoint(
    name: str, max_new_tokens: int = _REPLY_TOKENS, memory: Memory | None = None
) -> EndpointSpeaker:
    """The endpoint `http(s)://HOST/v1#MODEL`; see `load_speaker`.

    Raises:
        InputError: it lacks the model's name, or its settings do not fit.
    """
    url, _, served = name.partition("#")
    if not served:
        raise InputError(
            "the URL of an endpoint needs the name of a model", where=url, fix=f"{url}#MODEL"
        )
    settings = settings_for(name)
    return EndpointSpeaker(
        url, served, max_new_tokens=max_new_tokens, settings=settings, memory=memory
    )


def speaker_fingerprint(name: str) -> str:
    """What identifies a speaker: the weights of a local one, the address of an endpoint.

    Raises:
        InputError: there is no such model.
    """
    return name if is_endpoint(name) else weights_fingerprint(resolve(name))


def is_endpoint(name: str) -> bool:
    """Is it a URL?"""
    return name.startswith(_SCHEMES)
