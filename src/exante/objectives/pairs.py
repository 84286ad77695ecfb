"""Losses on preference pairs: `link(beta * gap - margin)`, and the anchor that goes with them.

Pure functions of tensors with one entry per pair. No model, tokenizer, config or I/O enters here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPairs:
    """A batch of pairs: log-prob of each response in nats, summed over its tokens."""

    chosen: Float[Tensor, " pairs"]
    rejected: Float[Tensor, " pairs"]
    ref_chosen: Float[Tensor, " pairs"]
    ref_rejected: Float[Tensor, " pairs"]
    margin: Float[Tensor, " pairs"]
    """Asked of beta times the gap, in nats; negative asks less."""

    def __post_init__(self) -> None:
        """Refuse shapes that would broadcast silently."""
        shapes = {tuple(getattr(self, name).shape) for name in self.__dataclass_fields__}
        if len(shapes) != 1:
            raise ValueError(f"one entry per pair everywhere, not shapes {sorted(shapes)}")

    @property
    def gap(self) -> Float[Tensor, " pairs"]:
        """How much more than the reference the policy prefers the chosen response, in nats."""
        return (self.chosen - self.ref_chosen) - (self.rejected - self.ref_rejected)


def dpo(pairs: ScoredPairs, *, beta: float) -> Float[Tensor, " pairs"]:
    """DPO (arXiv 2305.18290, eq. 7) with a margin per pair; larger `beta` stays closer.

    A margin of `-alpha * (n_w - n_l)` gives R-DPO (arXiv 2403.19159, eq. 9).
    """
    return -F.logsigmoid(beta * pairs.gap - pairs.margin)


def ipo(pairs: ScoredPairs, *, beta: float) -> Float[Tensor, " pairs"]:
    """IPO (arXiv 2310.12036, eq. 17), on summed log-probs; the margin moves the target."""
    return (pairs.gap - (0.5 + pairs.margin) / beta) ** 2


def hinge(pairs: ScoredPairs, *, beta: float) -> Float[Tensor, " pairs"]:
    """The hinge of SLiC-HF (arXiv 2305.10425) on the DPO gap, as in RSO (arXiv 2309.06657)."""
    return torch.relu(1 - (beta * pairs.gap - pairs.margin))


def anchor(
    chosen: Float[Tensor, " pairs"], chosen_tokens: Int[Tensor, " pairs"]
) -> Float[Tensor, " pairs"]:
    """Mean negative log-prob per token of the chosen response (iterative RPO, arXiv 2404.19733)."""
    return -chosen / chosen_tokens.clamp(min=1)
