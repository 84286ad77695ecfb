"""Messages to token ids and back, in one place for training, sampling and serving.

A prompt is rendered by the model's own chat template; a response is tokenised once, as plain text,
and never goes through a template, because stock templates silently drop reasoning.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from exante import traces
from exante.errors import InputError
from exante.records import Message


class Chat:
    """A tokenizer with a chat template, and the think tag of its model family."""

    def __init__(self, tokenizer: Any, tag: str = "think") -> None:
        """Wrap a `PreTrainedTokenizerFast`.

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
        if tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no eos_token", where=where, fix="set eos_token")
        self.tokenizer = tokenizer
        self.tag = tag
        self._hidden = set(tokenizer.all_special_ids)

    @property
    def eos_id(self) -> int:
        """The token that ends a turn."""
        return int(self.tokenizer.eos_token_id)

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

        Trace tags in system and user text are escaped: they are data there.
        """
        turns = [
            {
                "role": m.role,
                "content": m.content
                if m.role == "assistant"
                else traces.escape(m.content, tag=self.tag),
            }
            for m in messages
        ]
        return str(
            self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        )

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of the text alone; nothing is added."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def turn(self, text: str) -> tuple[int, ...]:
        """A whole assistant turn: the text and the end of the turn."""
        return (*self.encode(text), self.eos_id)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids without the chat's control tokens; trace tags always stay."""
        kept = [i for i in ids if i not in self._hidden or self._is_tag(i)]
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

    def _is_tag(self, token: int) -> bool:
        text = self.tokenizer.convert_ids_to_tokens(int(token))
        return text in (f"<{self.tag}>", f"</{self.tag}>")


def with_system(chat: Chat, text: str) -> Chat:
    """The same chat format, with this system message where a conversation has none of its own.

    It becomes part of the template, so that it is there wherever the model is saved and loaded.

    Raises:
        InputError: the template has no place for a system message.
    """
    tokenizer = copy.deepcopy(chat.tokenizer)
    # Of JSON's escapes all that remain without ASCII are Jinja's, too.
    message = f"{{'role': 'system', 'content': {json.dumps(text, ensure_ascii=False)}}}"
    tokenizer.chat_template = (
        "{% if messages[0]['role'] != 'system' %}"
        f"{{% set messages = [{message}] + messages %}}{{% endif %}}{tokenizer.chat_template}"
    )
    told = Chat(tokenizer, chat.tag)
    try:
        holds = text.strip() in told.prompt_text([Message(role="user", content="?")])
    except TemplateError:
        holds = False
    if not holds:
        raise InputError(
            "the chat template takes no system message",
            where=str(getattr(tokenizer, "name_or_path", "tokenizer")),
            fix="use a model whose template has a system role",
        )
    return told
