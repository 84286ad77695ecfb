"""From log-probs of a batch to its loss and the numbers to log; no model is called here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from exante import plugins
from exante.objectives import PAIR_OBJECTIVES
from exante.objectives.logprobs import front_sums, response_sums
from exante.objectives.pairs import (
    ScoredPairs,
    anchor,
    focus,
    per_token,
    tail_discounted,
    without_reference,
)
from exante.objectives.tokens import cross_entropy, log_ratio, shaped
from exante.training.barrier import Barrier, barred


class PairLoss(BaseModel):
    """The loss on a pair."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    name: str = "dpo"
    """One of the objectives in `exante.objectives`, or `package.module:function`."""
    beta: float = Field(default=0.1, gt=0)
    """Pull towards the reference; larger keeps the policy closer."""
    anchor: float = Field(default=1.0, ge=0)
    """Weight of the mean negative log-prob of the chosen response, against displacement."""
    margin: float = 0.0
    """Asked of every pair besides its own margin, in nats (gamma of SimPO)."""
    focus: float = Field(default=0.0, ge=0)
    """Exponent by which pairs that are learned already count less (SC-DPO); 0 weighs all alike."""
    tail: float = Field(default=1.0, ge=0, le=1)
    """Weight of what a response says beyond the length of the other one (LD-DPO); 1 is full."""
    per_token: bool = False
    """Compare means over tokens instead of sums (SimPO, length-normalised DPO)."""
    reference_free: bool = False
    """Compare log-probs instead of log-ratios to the reference (SimPO)."""
    barrier: Barrier | None = None
    """Where given, safety pairs are a constraint to keep and no longer part of the objective."""


class TokenLoss(BaseModel):
    """The loss on a token."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    ceiling: float = Field(default=10.0, gt=0)
    """Nats from which a token with a negative weight is pushed down no further."""


_PLAIN = TokenLoss()


def token_loss(
    logprobs: Tensor, part: Mapping[str, Any], settings: TokenLoss = _PLAIN
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted cross-entropy in nats, this part's share of the mean over the batch's tokens.

    `logprobs` and `part["weights"]` are (scored,). Where tokens are pulled to a reference, that is
    added; the cross-entropy alone and the mean log-ratio of the pulled tokens are logged.
    """
    weights, whole = part["weights"], part["whole"]
    if "pulls" not in part:
        return cross_entropy(logprobs, weights, ceiling=settings.ceiling).sum() / whole, {}
    references, pulls = part["references"], part["pulls"]
    losses = shaped(logprobs, references, weights=weights, pulls=pulls, ceiling=settings.ceiling)
    with torch.no_grad():
        pulled = pulls != 0
        away = log_ratio(logprobs, references) * pulled
        numbers = {
            "cross_entropy": cross_entropy(logprobs, weights, ceiling=settings.ceiling).mean(),
            "log_ratio": away.sum() / pulled.sum().clamp(min=1),
        }
    return losses.sum() / whole, numbers


def pair_loss(
    logprobs: Tensor, part: Mapping[str, Any], settings: PairLoss
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weight times objective plus anchor, this part's share of the mean over the batch's pairs.

    `logprobs` is (scored,). The numbers are means over the part's pairs, and over those of each
    kind: loss without anchor, gap in nats, lengths, and log-ratios to the reference per token if
    there is one.
    """
    sums = response_sums(logprobs, part["owners"], len(part["references"]))
    pairs = scored_pairs(sums, part)
    losses = preference(compared(pairs, logprobs, part, settings), settings)
    chosen_tokens = part["lengths"][part["chosen"]]
    rejected_tokens = part["lengths"][part["rejected"]]
    anchored = losses + settings.anchor * anchor(pairs.chosen, chosen_tokens)
    with torch.no_grad():
        per_pair = {
            "loss": losses,
            "gap": pairs.gap,
            "margin": pairs.margin,
            "chosen_tokens": chosen_tokens.float(),
            "rejected_tokens": rejected_tokens.float(),
            "chosen_trace": part["chosen_trace"].float(),
            "rejected_trace": part["rejected_trace"].float(),
        }
        ratios = {
            "chosen_ratio": (pairs.chosen - pairs.ref_chosen) / chosen_tokens,
            "rejected_ratio": (pairs.rejected - pairs.ref_rejected) / rejected_tokens,
        }
        if settings.reference_free:
            ratios = {}
        numbers = {"preference": losses.mean()}
        numbers |= {name: ratio.mean() for name, ratio in ratios.items()}
        for kind in sorted(set(part["kinds"])):
            mine = [place for place, known in enumerate(part["kinds"]) if known == kind]
            numbers |= {f"{kind}/{n}": v[mine].mean() for n, v in (per_pair | ratios).items()}
    weighted = part["weight"] * anchored
    if settings.barrier is not None:
        loss, told = barred(weighted, pairs.gap, part, beta=settings.beta, barrier=settings.barrier)
        return loss, numbers | told
    return weighted.sum() / part["whole"], numbers


def preference(pairs: ScoredPairs, settings: PairLoss) -> Tensor:
    """Objective of each pair, times its focus."""
    objective = plugins.load(PAIR_OBJECTIVES, settings.name, "objective")
    losses: Tensor = objective(pairs, beta=settings.beta)
    return losses * focus(pairs, beta=settings.beta, gamma=settings.focus)


def compared(
    pairs: ScoredPairs, logprobs: Tensor, part: Mapping[str, Any], settings: PairLoss
) -> ScoredPairs:
    """The pairs as the objective sees them: tails discounted, reference left out, per token."""
    tokens = part["lengths"][part["chosen"]], part["lengths"][part["rejected"]]
    if settings.tail < 1:
        shorter = torch.minimum(*tokens)
        front = ScoredPairs(
            chosen=front_sums(logprobs, part["owners"], part["chosen"], shorter),
            rejected=front_sums(logprobs, part["owners"], part["rejected"], shorter),
            ref_chosen=part["chosen_front"],
            ref_rejected=part["rejected_front"],
            margin=pairs.margin,
        )
        pairs = tail_discounted(pairs, front, alpha=settings.tail)
    if settings.reference_free:
        pairs = without_reference(pairs)
    if settings.per_token:
        pairs = per_token(pairs, *tokens)
    return replace(pairs, margin=pairs.margin + settings.margin)


def scored_pairs(sums: Tensor, part: Mapping[str, Any]) -> ScoredPairs:
    """The part's pairs, with summed log-probs (responses,) of the policy."""
    return ScoredPairs(
        chosen=sums[part["chosen"]],
        rejected=sums[part["rejected"]],
        ref_chosen=part["references"][part["chosen"]],
        ref_rejected=part["references"][part["rejected"]],
        margin=part["margin"],
    )


def at_reference(part: Mapping[str, Any], settings: PairLoss) -> float:
    """The closed form: mean loss, without anchor, of a policy that is its own reference.

    There is none for losses that leave the reference out: theirs depends on the policy's log-probs.
    """
    if settings.reference_free:
        raise ValueError("without a reference the loss has no closed form")
    zero = torch.zeros_like(part["margin"])
    same = ScoredPairs(
        chosen=zero,
        rejected=zero,
        ref_chosen=zero,
        ref_rejected=zero,
        margin=part["margin"] + settings.margin,
    )
    return float(preference(same, settings).mean())
