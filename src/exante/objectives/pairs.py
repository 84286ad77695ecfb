"""Losses on preference pairs: `link(beta * gap - margin)`, and what may be done to its parts.

A method is a link, a margin, and a way to read log-probs: SafeDPO, SC-DPO, MODPO and R-DPO are
`dpo` with margins, BFPO is `square` with its target as the margin, SimPO is `dpo` on `per_token`
log-probs `without_reference`. Pure functions of tensors with one entry per pair. No model,
tokenizer, config or I/O enters here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    Margins make of it SafeDPO, `Delta * (u_l - u_w)` (arXiv 2505.20065, eq. 12), R-DPO,
    `-alpha * (n_w - n_l)` (arXiv 2403.19159, eq. 9), and MODPO, `(1 - w) / w * (m_w - m_l)` at
    `beta / w` (arXiv 2310.03708).
    """
    return -F.logsigmoid(beta * pairs.gap - pairs.margin)


def ipo(pairs: ScoredPairs, *, beta: float) -> Float[Tensor, " pairs"]:
    """IPO (arXiv 2310.12036, eq. 17), on summed log-probs; the margin moves the target."""
    return (pairs.gap - (0.5 + pairs.margin) / beta) ** 2


def square(pairs: ScoredPairs, *, beta: float) -> Float[Tensor, " pairs"]:
    """BFPO's link (arXiv 2408.15313): the gap shall be `margin / beta`, be that above or below 0.

    IPO is the case of a margin of 1/2 for all pairs.
    """
    return (pairs.gap - pairs.margin / beta) ** 2


def hinge(pairs: ScoredPairs, *, beta: float) -> Float[Tensor, " pairs"]:
    """The hinge of SLiC-HF (arXiv 2305.10425) on the DPO gap, as in RSO (arXiv 2309.06657)."""
    return torch.relu(1 - (beta * pairs.gap - pairs.margin))


def anchor(
    chosen: Float[Tensor, " pairs"], chosen_tokens: Int[Tensor, " pairs"]
) -> Float[Tensor, " pairs"]:
    """Mean negative log-prob per token of the chosen response (iterative RPO, arXiv 2404.19733)."""
    return -chosen / chosen_tokens.clamp(min=1)


def focus(pairs: ScoredPairs, *, beta: float, gamma: float) -> Float[Tensor, " pairs"]:
    """Weight of each pair by how far it is from learned: `(1 - sigmoid(z)) ** gamma`, no gradient.

    `z` is what the link sees. The focal form of the dynamic focusing of SC-DPO (arXiv 2504.14290),
    whose own equation is not public; 0 weighs all alike.
    """
    return torch.sigmoid(pairs.margin - beta * pairs.gap).detach() ** gamma


def per_token(
    pairs: ScoredPairs,
    chosen_tokens: Int[Tensor, " pairs"],
    rejected_tokens: Int[Tensor, " pairs"],
) -> ScoredPairs:
    """The pairs with means over tokens in the place of sums (SimPO, length-normalised DPO)."""
    ours, theirs = chosen_tokens.clamp(min=1), rejected_tokens.clamp(min=1)
    return replace(
        pairs,
        chosen=pairs.chosen / ours,
        rejected=pairs.rejected / theirs,
        ref_chosen=pairs.ref_chosen / ours,
        ref_rejected=pairs.ref_rejected / theirs,
    )


def without_reference(pairs: ScoredPairs) -> ScoredPairs:
    """The pairs as if the reference held every response equally likely (SimPO)."""
    zero = torch.zeros_like(pairs.margin)
    return replace(pairs, ref_chosen=zero, ref_rejected=zero)


def tail_discounted(whole: ScoredPairs, front: ScoredPairs, *, alpha: float) -> ScoredPairs:
    """LD-DPO (arXiv 2409.06411): what a response says beyond the shorter one's length counts less.

    `front` holds the log-probs of as many first tokens as the shorter response has; policy and
    reference are discounted alike, so that a policy that is its reference has no gap. 1 is DPO.
    """

    def discounted(all_of_it: Tensor, first: Tensor) -> Tensor:
        return first + alpha * (all_of_it - first)

    return ScoredPairs(
        chosen=discounted(whole.chosen, front.chosen),
        rejected=discounted(whole.rejected, front.rejected),
        ref_chosen=discounted(whole.ref_chosen, front.ref_chosen),
        ref_rejected=discounted(whole.ref_rejected, front.ref_rejected),
        margin=whole.margin,
    )
