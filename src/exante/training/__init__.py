"""Fitting policies to rows and pairs, on transformers.Trainer: losses come from `objectives`."""

from __future__ import annotations

from exante.training.data import TokenRow
from exante.training.fit import TrainSummary, fit_pairs, fit_tokens
from exante.training.losses import PairLoss
from exante.training.settings import TrainSettings

__all__ = ["PairLoss", "TokenRow", "TrainSettings", "TrainSummary", "fit_pairs", "fit_tokens"]
