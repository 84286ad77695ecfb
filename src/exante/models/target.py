"""A model as an attacker with its weights sees it: log-probs, gradients, vectors for tokens.

The counterpart of the protocols in `exante.attacks.search`; nothing here decides what is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exante import traces
from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.forward import can_share, logits_of, without_adapters
from exante.models.sample import Request, SamplingSettings, sample
from exante.models.score import score
from exante.objectives.logprobs import target_logprobs
from exante.records import Message

Ids = tuple[int, ...]
_PROBE = " !"
_MARK = "\ue000"
"""For private use: no prompt holds it, no template touches it."""


class LocalTarget:
    """A loaded model behind its chat format, with what its runtime puts at the start of a turn."""

    def __init__(
        self, model: Any, chat: Chat, *, name: str, opened: bool = False, reply_tokens: int = 192
    ) -> None:
        """`opened` forces the start of a trace in every turn, as serving does."""
        self.model, self.chat, self.name = model, chat, name
        self.opening = chat.encode(chat.beginning("open" if opened else "free"))
        self.reply_tokens = reply_tokens
        self._shared = can_share(model)
        self._frames: dict[tuple[Message, ...], tuple[Ids, Ids]] = {}

    @cached_property
    def usable(self) -> list[int]:
        """Tokens of printable ASCII text; none of them controls the chat or belongs to a trace."""
        rows = self.model.get_input_embeddings().weight.shape[0]
        texts = {i: self.chat.decode([i]) for i in range(min(rows, len(self.chat.tokenizer)))}
        tags = set(self.chat.tokenizer.get_added_vocab().values())
        return [
            i
            for i, text in texts.items()
            if text.strip() and text.isascii() and text.isprintable() and i not in tags
        ]

    @cached_property
    def pieces(self) -> list[str]:
        """The texts of the usable tokens."""
        return [self.chat.decode([i]) for i in self.usable]

    def logprobs(self, conversations: Sequence[Sequence[Message]], response: str) -> list[float]:
        """Log-prob of the beginning of a turn after each conversation, in nats."""
        wanted = self.chat.encode(response)
        rows = [((*self.chat.prompt_ids(c), *self.opening), wanted) for c in conversations]
        return score(self.model, rows, pad_id=self.chat.pad_id, shared=self._shared)

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """Greedy answers as a user sees them: without the trace, empty where it never ends."""
        requests = [
            Request(str(number), self.chat.prompt_ids(turns), self.opening)
            for number, turns in enumerate(conversations)
        ]
        settings = SamplingSettings(max_new_tokens=self.reply_tokens)
        answers = [""] * len(requests)
        for turn in sample(self.model, self.chat, requests, settings):
            text = self.chat.decode(turn.token_ids)
            parsed = traces.parse(text, tag=self.chat.tag, finished=turn.finish == "stop")
            answers[int(turn.id)] = parsed.answer or ""
        return answers

    def suffix_ids(self, messages: Sequence[Message], suffix: str) -> Ids:
        """The tokens of a suffix behind the last user turn.

        Raises:
            InputError: the suffix shares a token with the text around it.
        """
        before, after = self._frame(messages)
        whole = self.chat.prompt_ids(_suffixed(messages, suffix))
        middle = whole[len(before) : len(whole) - len(after)]
        if not middle or whole != (*before, *middle, *after):
            raise InputError(
                f"the suffix {suffix!r} runs together with the text around it",
                fix="begin it with a blank and end it with a letter or sign",
            )
        return middle

    def suffix_text(self, messages: Sequence[Message], ids: Sequence[int]) -> str | None:
        """The text of suffix tokens; None if it would be read as other tokens than these."""
        before, after = self._frame(messages)
        decoded = self.chat.decode(ids)
        # Some tokenizers leave out the blank in front of the first token.
        for text in (decoded,) if decoded.startswith(" ") else (decoded, f" {decoded}"):
            if self.chat.prompt_ids(_suffixed(messages, text)) == (*before, *ids, *after):
                return text
        return None

    def gradient(
        self, messages: Sequence[Message], suffix: str, response: str
    ) -> NDArray[np.float32]:
        """Of the response's log-prob by the suffix's one-hot tokens, (tokens, vocabulary).

        One-hot rows times the table of embeddings are the vectors that the model reads, so their
        gradient is that of the vectors times the table transposed (arXiv 2307.15043, section 2.2).
        """
        vectors = self.vectors(self.suffix_ids(messages, suffix)).requires_grad_()
        value = self.soft_logprob(messages, vectors, response)
        (slope,) = torch.autograd.grad(value, vectors)
        rows = self.model.get_input_embeddings().weight.shape[0]
        table = self.vectors(range(rows))
        found: NDArray[np.float32] = (slope.float() @ table.float().T).cpu().numpy()
        return found

    def vectors(self, ids: Sequence[int]) -> Tensor:
        """What the model reads in the place of tokens, (tokens, width), without a gradient."""
        table = self.model.get_input_embeddings()
        # By a call: some families scale what they look up.
        with torch.no_grad():
            found: Tensor = table(torch.tensor([*ids], dtype=torch.long, device=self.model.device))
        return found

    def soft_prompt(self, messages: Sequence[Message], vectors: Tensor) -> Tensor:
        """The prompt as vectors, (tokens, width), with `vectors` behind the last user turn."""
        before, after = self._frame(messages)
        return torch.cat([self.vectors(before), vectors, self.vectors((*after, *self.opening))])

    def soft_logprob(self, messages: Sequence[Message], vectors: Tensor, response: str) -> Tensor:
        """Log-prob of a beginning of the turn in nats, a scalar with its gradient by `vectors`."""
        targets = self.chat.encode(response)
        prompt = self.soft_prompt(messages, vectors)
        read = (
            torch.cat([prompt, self.vectors(targets[:-1])])[None] if targets[1:] else prompt[None]
        )
        states = (
            without_adapters(self.model)
            .get_decoder()(
                inputs_embeds=read,
                attention_mask=torch.ones(read.shape[:2], dtype=torch.long, device=read.device),
                use_cache=False,
            )
            .last_hidden_state[0]
        )
        logits = logits_of(self.model, states[-len(targets) :])
        return target_logprobs(logits, torch.tensor(targets, device=logits.device)).sum()

    def _frame(self, messages: Sequence[Message]) -> tuple[Ids, Ids]:
        """The tokens in front of a suffix and behind it."""
        key = tuple(messages)
        if key not in self._frames:
            self._frames[key] = self._around(key)
        return self._frames[key]

    def _around(self, messages: tuple[Message, ...]) -> tuple[Ids, Ids]:
        """Found with a short suffix in the place; offsets say which tokens are its own."""
        head, mark, tail = self.chat.prompt_text(_suffixed(messages, _MARK)).rpartition(_MARK)
        text = self.chat.prompt_text(_suffixed(messages, _PROBE))
        if not mark or text != head + _PROBE + tail:
            raise InputError(
                "the chat template changes the end of user text",
                where=str(self.chat.tokenizer.name_or_path),
                fix="use a model whose template keeps it",
            )
        start, end = len(head), len(head) + len(_PROBE)
        coded = self.chat.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        mine = [n for n, (a, b) in enumerate(coded["offset_mapping"]) if b > start and a < end]
        whole = self.chat.prompt_ids(_suffixed(messages, _PROBE))
        doubled = len(coded["input_ids"]) - len(whole)
        return whole[: mine[0] - doubled], whole[mine[-1] + 1 - doubled :]


def _suffixed(messages: Sequence[Message], suffix: str) -> tuple[Message, ...]:
    place = max(i for i, turn in enumerate(messages) if turn.role == "user")
    turns = list(messages)
    turns[place] = turns[place].model_copy(update={"content": turns[place].content + suffix})
    return tuple(turns)
