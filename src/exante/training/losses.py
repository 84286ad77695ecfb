"""From log-probs of a batch to its loss and the numbers to log; no model is called here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from exante import plugins
from exante.objectives import PAIR_OBJECTIVES
from exante.objectives.logprobs import response_sums
from exante.objectives.pairs import ScoredPairs, anchor
from exante.objectives.tokens import cross_entropy, log_ratio, shaped


class PairLoss(BaseModel):
    """The loss on a pair."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = "dpo"
    """One of the objectives in `exante.objectives`, or `package.module:function`."""
    beta: float = Field(default=0.1, gt=0)
    """Pull towards the reference; larger keeps the policy closer."""
    anchor: float = Field(default=1.0, ge=0)
    """Weight of the mean negative log-prob of the chosen response, against displacement."""


class TokenLoss(BaseModel):
    """The loss on a token."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

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
    kind: loss without anchor, log-ratios to the reference per token, gap in nats, lengths.
    """
    sums = response_sums(logprobs, part["owners"], len(part["references"]))
    pairs = scored_pairs(sums, part)
    objective = plugins.load(PAIR_OBJECTIVES, settings.name, "objective")
    losses = objective(pairs, beta=settings.beta)
    chosen_tokens = part["lengths"][part["chosen"]]
    rejected_tokens = part["lengths"][part["rejected"]]
    anchored = losses + settings.anchor * anchor(pairs.chosen, chosen_tokens)
    with torch.no_grad():
        per_pair = {
            "loss": losses,
            "chosen_ratio": (pairs.chosen - pairs.ref_chosen) / chosen_tokens,
            "rejected_ratio": (pairs.rejected - pairs.ref_rejected) / rejected_tokens,
            "gap": pairs.gap,
            "margin": pairs.margin,
            "chosen_tokens": chosen_tokens.float(),
            "rejected_tokens": rejected_tokens.float(),
            "chosen_trace": part["chosen_trace"].float(),
            "rejected_trace": part["rejected_trace"].float(),
        }
        numbers = {
            "preference": losses.mean(),
            "chosen_ratio": per_pair["chosen_ratio"].mean(),
            "rejected_ratio": per_pair["rejected_ratio"].mean(),
        }
        for kind in sorted(set(part["kinds"])):
            mine = [place for place, known in enumerate(part["kinds"]) if known == kind]
            numbers |= {f"{kind}/{name}": v[mine].mean() for name, v in per_pair.items()}
    return (part["weight"] * anchored).sum() / part["whole"], numbers


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
    """The closed form: mean loss, without anchor, of a policy that is its own reference."""
    zero = torch.zeros_like(part["margin"])
    same = ScoredPairs(
        chosen=zero, rejected=zero, ref_chosen=zero, ref_rejected=zero, margin=part["margin"]
    )
    objective = plugins.load(PAIR_OBJECTIVES, settings.name, "objective")
    return float(objective(same, beta=settings.beta).mean())
