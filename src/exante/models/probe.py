"""What can be said about a model before it is used."""

from __future__ import annotations

import math
from typing import Any

import torch

from exante.models.chat import Chat
from exante.records import Message

_UNTRAINED = 0.9
_PROBE = (Message(role="user", content="What is the name of the thing that you asked me about?"),)


@torch.inference_mode()
def relative_entropy(model: Any, chat: Chat) -> float:
    """Mean entropy of the next token on a plain prompt, over that of a uniform guess; 0 to 1."""
    ids = torch.tensor([chat.prompt_ids(_PROBE)], device=model.device)
    logits = model(input_ids=ids).logits[0].float()
    logprobs = logits.log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1).mean()
    return float(entropy) / math.log(logits.shape[-1])


def looks_untrained(model: Any, chat: Chat) -> bool:
    """Are the weights random? Such a model guesses nearly uniformly; no trained one does."""
    return relative_entropy(model, chat) > _UNTRAINED
