"""How likely given continuations are, and whether greedy decoding would write them.

For benchmarks that compare options instead of sampling; training scores with `models.score`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from exante.models.forward import logits_of
from exante.models.padded import right_padded, within_tokens

Row = tuple[Sequence[int], Sequence[int]]
"""Token ids of a context, at least one, and of what follows it."""
_TILE = 512
"""Positions whose logits exist at a time."""


@torch.inference_mode()
def likelihoods(
    model: Any, rows: Sequence[Row], *, pad_id: int, batch_tokens: int = 8192
) -> list[tuple[float, bool]]:
    """Per row: summed log-prob of the continuation in nats, and is it the greedy one?

    An empty continuation has log-prob 0 and is greedy. Rows are run in plain padded batches of at
    most `batch_tokens` tokens, a longer row alone.

    Raises:
        ValueError: a context is empty, so that nothing predicts the first token.
    """
    if any(not context for context, _ in rows):
        raise ValueError("every context needs at least one token")
    found: dict[int, tuple[float, bool]] = {}
    lengths = [len(context) + len(after) for context, after in rows]
    for batch in within_tokens(lengths, batch_tokens):
        pairs = [(tuple(rows[i][0]), tuple(rows[i][1])) for i in batch]
        found.update(zip(batch, _scored(model, pairs, pad_id), strict=True))
    return [found[index] for index in range(len(rows))]


def _scored(
    model: Any, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], pad_id: int
) -> list[tuple[float, bool]]:
    ids, mask = right_padded([(*context, *after) for context, after in pairs], pad_id)
    states = model.get_decoder()(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False
    ).last_hidden_state
    # The token at a place is predicted by the state in front of it.
    predicting = torch.cat(
        [
            states[place, len(context) - 1 : len(context) + len(after) - 1]
            for place, (context, after) in enumerate(pairs)
        ]
    )
    targets = torch.tensor([i for _, after in pairs for i in after], dtype=torch.long)
    logprobs, greedy = _of_targets(model, predicting, targets.to(model.device))
    sizes = [len(after) for _, after in pairs]
    return [
        (float(part.sum()), bool(best.all()))
        for part, best in zip(logprobs.split(sizes), greedy.split(sizes), strict=True)
    ]


def _of_targets(model: Any, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-prob of each target (float64, on the CPU) and whether it is the most likely token."""
    logprobs, greedy = [torch.zeros(0)], [torch.zeros(0, dtype=torch.bool)]
    for some, wanted in zip(states.split(_TILE), targets.split(_TILE), strict=True):
        logits = logits_of(model, some).float()
        chosen = logits.gather(-1, wanted[:, None])[:, 0]
        logprobs.append((chosen - logits.logsumexp(-1)).cpu())
        greedy.append((logits.argmax(-1) == wanted).cpu())
    return torch.cat(logprobs).double(), torch.cat(greedy)
