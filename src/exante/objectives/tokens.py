"""Losses on tokens of responses: `weight * cross-entropy + pull * distance`, a value per token.

Pure functions of tensors with one entry per scored token, which is the only mask: what is not
scored enters no term. No model, tokenizer, config or I/O enters here.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def cross_entropy(
    logprobs: Float[Tensor, " scored"],
    weights: Float[Tensor, " scored"],
    *,
    ceiling: float = math.inf,
) -> Float[Tensor, " scored"]:
    """Weighted negative log-prob of each token, in nats; a weight of 0 leaves a token out.

    A negative weight makes a token less likely, without bound, until it costs `ceiling` nats: from
    there on it has no gradient.
    """
    bounded = torch.where(weights < 0, logprobs.clamp(min=-ceiling), logprobs)
    return -(bounded * weights)


def log_ratio(
    logprobs: Float[Tensor, " scored"], references: Float[Tensor, " scored"]
) -> Float[Tensor, " scored"]:
    """Log-prob over the reference's, in nats: the estimator k1 of the divergence from it.

    To be logged, never to be minimised: its gradient at the reference is that of the log-prob, so
    as a loss it would push every token down for ever.
    """
    return logprobs - references


def distance(
    logprobs: Float[Tensor, " scored"], references: Float[Tensor, " scored"]
) -> Float[Tensor, " scored"]:
    """Half the squared log-ratio, the estimator k2 of the divergence from the reference.

    Estimated on the one token of the data (STAR-DSS, arXiv 2505.17196); value and gradient are 0
    at the reference.
    """
    return 0.5 * log_ratio(logprobs, references) ** 2


def shaped(
    logprobs: Float[Tensor, " scored"],
    references: Float[Tensor, " scored"],
    *,
    weights: Float[Tensor, " scored"],
    pulls: Float[Tensor, " scored"],
    ceiling: float = math.inf,
) -> Float[Tensor, " scored"]:
    """What each token is worth: to be learned by its weight, to be left as it was by its pull.

    `weights = V` and `pulls = lambda * (1 - V)` give STAR-DSS (arXiv 2505.17196, eq. 3).
    """
    learned = cross_entropy(logprobs, weights, ceiling=ceiling)
    return learned + pulls * distance(logprobs, references)
