"""Fine-tuning that leaves the embeddings of ordinary words as they are."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from exante.models.chat import Chat
from exante.traces import markup


def markup_ids(chat: Chat) -> list[int]:
    """Tokens that are a word of the trace format, alone or after a space; where there are such.

    A word of several pieces is spelled with pieces that the model knows: they need not change.
    """
    found = set()
    for word in markup(chat.tag):
        for text in (word, f" {word}"):
            ids = chat.encode(text)
            if len(ids) == 1:
                found.add(ids[0])
    return sorted(found)


def keep_embeddings(model: Any, free: list[int]) -> None:
    """Let gradients reach only the rows `free` of the input and output embeddings.

    A token that a batch lacks still gets a tiny gradient through the softmax, and Adam makes of a
    tiny gradient a step as large as any: in a small model, names that are not in the data drift
    away from what the layers know of them.
    """
    modules = (model.get_input_embeddings(), model.get_output_embeddings())
    for table in {module.weight for module in modules if module is not None}:
        mask = torch.zeros(len(table), 1, dtype=table.dtype, device=table.device)
        mask[free] = 1
        table.register_hook(partial(_masked, mask=mask))


def _masked(gradient: Tensor, mask: Tensor) -> Tensor:
    return gradient * mask.to(gradient.device)
