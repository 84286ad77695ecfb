"""Runs guard models on ready prompts: greedy replies, and the chances of two next tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from exante.errors import InputError
from exante.models.devices import sampling_dtype
from exante.models.folders import resolve, weights_fingerprint
from exante.models.forward import logits_of
from exante.models.load import context_length, load_model, load_tokenizer
from exante.models.padded import right_padded, within_tokens
from exante.models.sample import Request, SamplingSettings, sample

_BATCH_TOKENS = 16_384


class LocalCompleter:
    """A model in this process that continues prompts as they are, without a chat template."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        """`model` and `tokenizer` belong together.

        Raises:
            InputError: the tokenizer has no end-of-turn token.
        """
        if tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no eos_token", where=name, fix="set eos_token")
        self.model = model
        self.tokenizer = tokenizer
        self.name = name

    @property
    def eos_id(self) -> int:
        """The token that ends a turn."""
        return int(self.tokenizer.eos_token_id)

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end a turn."""
        return frozenset({self.eos_id})

    @property
    def pad_id(self) -> int:
        """What fills rows of a batch; masked everywhere."""
        pad = self.tokenizer.pad_token_id
        return self.eos_id if pad is None else int(pad)

    def complete(self, texts: Sequence[str], max_new_tokens: int) -> list[str]:
        """The greedy continuation of each text, in order; empty where the text is too long."""
        readable = self._readable(texts, room=max_new_tokens)
        requests = [Request(str(place), ids) for place, ids in readable.items()]
        settings = SamplingSettings(max_new_tokens=max_new_tokens)
        found = {
            int(turn.id): str(self.tokenizer.decode(turn.token_ids, skip_special_tokens=True))
            for turn in sample(self.model, self, requests, settings)
        }
        return [found.get(place, "") for place in range(len(texts))]

    @torch.inference_mode()
    def chances(self, texts: Sequence[str], options: tuple[str, str]) -> list[float | None]:
        """Of each text, the chance of `options[0]` as next token against `options[1]`, in order.

        None where the text is too long to be read.

        Raises:
            InputError: an option is no token of the model.
        """
        columns = torch.tensor([self._token(option) for option in options])
        readable = self._readable(texts, room=0)
        found: dict[int, float] = {}
        places, rows = list(readable), list(readable.values())
        for batch in within_tokens([len(row) for row in rows], _BATCH_TOKENS):
            logits = self._next_logits([rows[number] for number in batch])
            first = logits[:, columns.to(logits.device)].softmax(-1)[:, 0]
            found.update(zip([places[number] for number in batch], first.tolist(), strict=True))
        return [found.get(place) for place in range(len(texts))]

    def _next_logits(self, rows: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """Logits behind the last token of each row, (rows, vocabulary), float32."""
        ids, mask = right_padded(rows, self.pad_id)
        device = self.model.device
        states = self.model.get_decoder()(
            input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
        ).last_hidden_state
        ends = torch.tensor([len(row) - 1 for row in rows], device=device)
        last = states[torch.arange(len(rows), device=device), ends]
        return logits_of(self.model, last).float()

    def _readable(self, texts: Sequence[str], room: int) -> dict[int, tuple[int, ...]]:
        """Token ids by place, of the texts that leave `room` for a reply."""
        limit = context_length(self.model)
        rows = {place: self._ids(text) for place, text in enumerate(texts)}
        return {place: ids for place, ids in rows.items() if len(ids) + room <= limit}

    def _ids(self, text: str) -> tuple[int, ...]:
        """The text's tokens, with one BOS where the model has one: some formats spell it out."""
        ids = tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        bos = self.tokenizer.bos_token_id
        return ids if bos is None or ids[:1] == (bos,) else (bos, *ids)

    def _token(self, option: str) -> int:
        found = self.tokenizer.get_vocab().get(option)
        if found is None:
            raise InputError(
                f"{option!r} is no token of this model",
                where=self.name,
                fix="give the folder of the guard that was named",
            )
        return int(found)


def load_guard(name: str) -> LocalCompleter:
    """The guard model of a folder or hub id; safetensors only.

    Raises:
        InputError: there is no such model, or it cannot be loaded.
    """
    folder = resolve(name)
    model = load_model(folder, dtype=sampling_dtype("auto"))
    version = weights_fingerprint(folder)[:8]
    return LocalCompleter(model, load_tokenizer(folder), f"{folder.name}@{version}")
