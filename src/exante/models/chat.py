"""Messages to token ids and back, in one place for training, sampling and serving.

A prompt is rendered by the model's own chat template; a response is tokenised once, as plain text,
and never goes through a template, because stock templates silently drop reasoning. A think block
that a template opens by itself belongs to the turn, as its forced start, and not to the prompt.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from jinja2 import TemplateError

from exante import traces
from exante.errors import InputError
from exante.models.mechanics import GLUE, mechanics_of, render
from exante.records import Message


class Chat:
    """A tokenizer with a chat template, and the think tag of its model family."""

    def __init__(self, tokenizer: Any, tag: str = "think", *, ends: Collection[int] = ()) -> None:
        """Wrap a `PreTrainedTokenizerFast`; `ends` are more tokens at which the model stops.

        Raises:
            InputError: the tokenizer has no chat template or no end-of-turn token.
        """
        where = str(getattr(tokenizer, "name_or_path", "tokenizer"))
        if not tokenizer.chat_template:
            raise InputError(
                "the tokenizer has no chat template",
                where=where,
                fix="use an instruction-tuned model, or put a chat_template.jinja beside it",
            )
        self.tokenizer = tokenizer
        self.tag = tag
        self.mechanics = mechanics_of(tokenizer, tag)
        self._open, self._close = f"<{tag}>", f"</{tag}>"
        self._closes = self._close in self.mechanics.opens
        end = self.mechanics.end or tokenizer.eos_token
        if end is None:
            raise InputError(
                "the tokenizer has no eos_token, and its chat template ends no turn",
                where=where,
                fix="set eos_token in tokenizer_config.json",
            )
        self.eos_id = int(tokenizer.convert_tokens_to_ids(end))
        """The token that ends a turn; in some families not the tokenizer's eos_token."""
        eos = tokenizer.eos_token_id
        self.stop_ids = frozenset({self.eos_id, *ends, *(() if eos is None else (int(eos),))})
        """Every token at which the model stops."""
        control = set(tokenizer.all_special_tokens) - {self._open, self._close}
        self._hidden = self.stop_ids | set(tokenizer.convert_tokens_to_ids(list(control)))
        words = sorted({*control, end}, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, words)))

    @property
    def pad_id(self) -> int:
        """What fills rows of a batch; masked everywhere."""
        pad = self.tokenizer.pad_token_id
        return self.eos_id if pad is None else int(pad)

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Everything before the assistant's turn, with at most one BOS."""
        ids = self.encode(self.prompt_text(messages))
        bos = self.tokenizer.bos_token_id
        if bos is not None and ids[:2] == (bos, bos):
            return ids[1:]
        return ids

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """Everything before the assistant's turn, as the template writes it.

        Trace tags and control tokens in system and user text are escaped: they are data there.
        """
        turns = [
            {
                "role": m.role,
                "content": m.content if m.role == "assistant" else self._as_data(m.content),
            }
            for m in messages
        ]
        try:
            text = render(self.tokenizer, self.mechanics.template, turns, start=True)
        except TemplateError as error:
            raise InputError(
                f"the chat template refuses these messages: {error}",
                where=str(self.tokenizer.name_or_path),
                fix="let user and assistant take turns, the user first; `exante model check` "
                "says what the template takes",
            ) from None
        return text.removesuffix(self.mechanics.opens) + self.mechanics.lead

    def _as_data(self, text: str) -> str:
        """No tag of a trace, and no token that ends or begins a turn: `<|im_end|>`, `[INST]`."""
        inert = self._control.sub(lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", text)
        return traces.escape(inert, tag=self.tag)

    def beginning(self, start: traces.Start) -> str:
        """The text that is forced at the start of a turn, an opening of the template's included."""
        own, text = self.mechanics.opens, traces.beginning(start, self.tag)
        if self._closes:
            return text if start == "open" else own
        return own + text.removeprefix(self._open) if own else text

    def begun(self, text: str) -> str:
        """The text of a turn as the template begins it: a plain answer closes what it opens."""
        own, traced = self.mechanics.opens, text.startswith(self._open)
        if not own or (self._closes and traced):
            return text
        if self._closes:
            return own + text
        return own + (text.removeprefix(self._open).lstrip() if traced else self._close + text)

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of the text alone; nothing is added."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def turn(self, text: str) -> tuple[int, ...]:
        """A whole assistant turn: the text, begun as the template begins it, and its end."""
        return (*self.encode(self.begun(text)), self.eos_id)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids without the chat's control tokens; trace tags always stay."""
        kept = [i for i in ids if i not in self._hidden]
        return str(self.tokenizer.decode(kept, clean_up_tokenization_spaces=False))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text each token adds, so that the pieces join to `decode(ids)`."""
        alone = [self.decode([i]) for i in ids]
        if "".join(alone) == self.decode(ids):
            return alone
        # A part of a character is told with the token that completes it.
        pieces, told = [], ""
        for end in range(1, len(ids) + 1):
            text = self.decode(ids[:end])
            whole = end == len(ids) or not text.endswith("\ufffd")
            pieces.append(text[len(told) :] if whole else "")
            told = text if whole else told
        return pieces


def with_system(chat: Chat, text: str) -> Chat:
    """The same chat format, with this system message where a conversation has none of its own.

    It becomes part of the template, so that it is there wherever the model is saved and loaded. A
    template without a system role gets it in front of the first user message.

    Raises:
        InputError: the template has no place for it even there.
    """
    tokenizer = copy.deepcopy(chat.tokenizer)
    # Of JSON's escapes all that remain without ASCII are Jinja's, too.
    message = f"{{'role': 'system', 'content': {json.dumps(text, ensure_ascii=False)}}}"
    own = tokenizer.get_chat_template()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] != 'system' %}"
        f"{{% set messages = [{message}] + messages %}}{{% endif %}}"
        f"{own if chat.mechanics.takes_system else GLUE + own}"
    )
    told = Chat(tokenizer, chat.tag, ends=chat.stop_ids)
    try:
        holds = text.strip() in told.prompt_text([Message(role="user", content="?")])
    except InputError:
        holds = False
    if not holds:
        raise InputError(
            "the chat template takes no system message",
            where=str(getattr(tokenizer, "name_or_path", "tokenizer")),
            fix="use a model whose template writes what system or user say",
        )
    return told
