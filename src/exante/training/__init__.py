"""Fitting policies to rows and pairs, on transformers.Trainer: losses come from `objectives`."""

from __future__ import annotations

from exante.training.data import TokenRow
from exante.training.fit import TrainSummary, fit_pairs, fit_tokens
from exante.training.losses import PairLoss, TokenLoss
from exante.training.patching import PatchSettings, fit_patches
from exante.training.settings import TrainSettings

__all__ = [
    "PairLoss",
    "PatchSettings",
    "TokenLoss",
    "TokenRow",
    "TrainSettings",
    "TrainSummary",
    "fit_pairs",
    "fit_patches",
    "fit_tokens",
]
