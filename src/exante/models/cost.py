"""A cost model: a causal language model as it is, and a linear head on its states of an answer.

The head reads the state at the end of the turn and the mean state of the answer: a model that was
never asked to sum up at its last token still has what it read in the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.folders import weights_fingerprint
from exante.models.forward import without_adapters
from exante.models.load import context_length, load_chat, load_model
from exante.models.packed import NOBODY, Group, Ids, pack, within_budget
from exante.records import Message
from exante.rows import sha256_of

HEAD = "cost.safetensors"
_BATCH_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class Head:
    """What turns the features of an answer into its cost."""

    weight: Tensor
    """(features,)"""
    bias: Tensor
    """A scalar."""

    def costs(self, features: Tensor) -> list[float]:
        """The cost of each answer, from features (answers, features)."""
        found: list[float] = (features @ self.weight + self.bias).tolist()
        return found

    def save(self, folder: Path) -> None:
        """Write the head beside what else a stage leaves."""
        save_file({"weight": self.weight.contiguous(), "bias": self.bias}, folder / HEAD)


class CostModel:
    """Prices answers: above 0 is unsafe."""

    def __init__(self, model: Any, chat: Chat, head: Head, name: str) -> None:
        """`model`, `chat` and `head` belong together."""
        self.model = model
        self.chat = chat
        self.head = head
        self.name = name

    def costs(self, turns: Sequence[tuple[Sequence[Message], str]]) -> list[float | None]:
        """The cost of each answer to its prompt, in order; None where both are too long to read."""
        rows = [turn_row(messages, answer, self.chat) for messages, answer in turns]
        limit = context_length(self.model)
        places = [i for i, (prompt, answer) in enumerate(rows) if len(prompt) + len(answer) < limit]
        if not places:
            return [None] * len(turns)
        features = answer_features(self.model, [rows[i] for i in places], pad_id=self.chat.pad_id)
        found = dict(zip(places, self.head.costs(features), strict=True))
        return [found.get(place) for place in range(len(turns))]


def load_cost_model(trunk: Path, head: Path) -> CostModel:
    """The cost model of a model folder and a file with a head.

    Raises:
        InputError: one of them cannot be loaded, or they do not belong together.
    """
    model = load_model(trunk)
    try:
        found = load_file(head)
        loaded = Head(found["weight"], found["bias"])
    except (OSError, KeyError, SafetensorError) as error:
        raise InputError(
            f"no cost head: {error}", where=str(head), fix="give the folder of a cost step"
        ) from None
    if len(loaded.weight) != 2 * model.config.get_text_config().hidden_size:
        raise InputError(
            "the cost head was trained on another model", where=str(head), fix="train it again"
        )
    return CostModel(model, load_chat(trunk), loaded, cost_fingerprint(trunk, head))


def cost_fingerprint(trunk: Path, head: Path) -> str:
    """What decides a cost: the head, and the weights it reads.

    Raises:
        InputError: there is no head.
    """
    return f"{sha256_of(head)[:8]}@{weights_fingerprint(trunk)[:8]}"


def turn_row(messages: Sequence[Message], answer: str, chat: Chat) -> tuple[Ids, Ids]:
    """Prompt and answer as token ids, EOS last."""
    return chat.prompt_ids(messages), chat.turn(answer)


@torch.inference_mode()
def answer_features(
    model: Any, rows: Sequence[tuple[Ids, Ids]], *, pad_id: int, batch_tokens: int = _BATCH_TOKENS
) -> Tensor:
    """State at each answer's last token and mean state of its tokens, (rows, 2 * hidden), float32.

    Rows are prompt and answer; they are run in plain padded batches.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]) + len(rows[i][1]))
    # One more token: the last one of a response predicts nothing and is not run.
    groups = [Group(rows[i][0], ((*rows[i][1], pad_id),)) for i in order]
    found: list[Tensor] = []
    for batch in within_budget(groups, batch_tokens):
        packed = pack(batch, pad_id, shared=False)
        states = _states(model, packed.ids, packed.group != NOBODY).flatten(0, 1)
        lengths = [len(group.responses[0]) for group in batch]
        for start, length in zip(accumulate([0, *lengths]), lengths, strict=False):
            # The first of these states is the prompt's last one.
            own = states[packed.sources[start + 1 : start + length]].float()
            found.append(torch.cat([own[-1], own.mean(0)]).cpu())
    features = torch.stack(found)
    return features[torch.tensor(order).argsort()]


def _states(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    decoder = without_adapters(model).get_decoder()
    how = {"attention_mask": mask.long().to(model.device), "use_cache": False}
    states: Tensor = decoder(input_ids=ids.to(model.device), **how).last_hidden_state
    return states
