"""SafePatching: two opposite trainings on the same harm, and the entries of both that do not clash.

The model that was trained on harm stays in memory and is never written: neither its weights nor
its patch lies on a disk at any time, and a killed run starts anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from exante.models.forward import can_share, choose_attention, response_logprobs_of
from exante.models.load import load_chat, load_model, save_model
from exante.models.patches import Patch, Weights, difference, drawn, importance, kept, patched, top
from exante.models.ranks import ranks
from exante.models.weights import gradients_of, put_weights, weights_of
from exante.training.data import TokenRow, collate_rows
from exante.training.fit import fit_weights
from exante.training.losses import TokenLoss, token_loss
from exante.training.settings import TrainSettings
from exante.training.trainer import OnStep


class PatchSettings(BaseModel):
    """Which entries of the two patches are applied, and how strongly."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    retained: float = Field(default=0.3, ge=0, le=1)
    """Share of each patch that stays at random (p)."""
    top_safety: float = Field(default=0.03, ge=0, le=1)
    """Share of most important entries that the patch against harm has for itself (a)."""
    top_openness: float = Field(default=0.03, ge=0, le=1)
    """The same of the patch against over-refusal (b)."""
    safety: float = Field(default=1.0, ge=0)
    """Strength of the patch against harm (alpha)."""
    openness: float = Field(default=1.0, ge=0)
    """Strength of the patch against over-refusal (beta)."""
    seed: int = 0
    """Draws what stays at random."""

    @model_validator(mode="after")
    def _important_is_rarer_than_random(self) -> Self:
        if max(self.top_safety, self.top_openness) > self.retained:
            raise ValueError("top_safety and top_openness are smaller than retained")
        return self


def fit_patches(
    harmful: Sequence[TokenRow],
    *,
    policy: Path,
    out: Path,
    settings: TrainSettings,
    patching: PatchSettings,
    loss: TokenLoss,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Patch `policy` with what unlearning and learning harm teach; the model goes to `out/model`.

    Unlearning (ascent) gives the patch against harm, learning (descent) the one against
    over-refusal (arXiv 2405.13820). Each training takes `settings`; `loss.ceiling` bounds ascent.
    Of several processes, the main one alone merges and tells.

    Raises:
        InputError: a row cannot be trained on.
        RunError: a loss is not finite.
    """
    fit = partial(fit_weights, policy=policy, settings=settings, loss=loss, on_step=on_step)
    unlearned, ascent = fit([replace(row, weight=-1.0) for row in harmful], out=out / "ascent")
    learned, descent = fit(harmful, out=out / "descent")
    if not ranks().main:
        return {}
    model, chat = load_model(policy), load_chat(policy)
    before = weights_of(model)
    scores = [
        _importance(model, weights, harmful, chat.pad_id, settings)
        for weights in (unlearned, learned)
    ]
    masks = difference_set(before, scores, patching)
    merged = patched(
        before,
        [
            Patch(difference(unlearned, before), masks[0], patching.safety),
            Patch(difference(learned, before), masks[1], patching.openness),
        ],
    )
    put_weights(model, merged)
    save_model(model, chat, out / "model")
    return {
        "ascent": asdict(ascent),
        "descent": asdict(descent),
        "patched": [round(_share(mask), 4) for mask in masks],
    }


def difference_set(
    like: Weights, scores: Sequence[Weights], patching: PatchSettings
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The masks of the patches against harm and against over-refusal, from their scores.

    No entry that is among the most important of one patch is touched by the other; one that is
    among those of both, by neither.
    """
    safety, openness = (
        top(score, share)
        for score, share in zip(scores, (patching.top_safety, patching.top_openness), strict=True)
    )
    first, second = (drawn(like, patching.retained, 2 * patching.seed + n) for n in (0, 1))
    return kept(first, safety, openness), kept(second, openness, safety)


def _importance(
    model: Any, weights: Weights, rows: Sequence[TokenRow], pad_id: int, settings: TrainSettings
) -> dict[str, Tensor]:
    """SNIP scores of the weights on the rows; the model is left with these weights."""
    put_weights(model, weights)
    model.zero_grad()
    shared = can_share(model)
    choose_attention(model, max(row.group.tokens for row in rows))
    for part in collate_rows(rows, pad_id, settings.batch_tokens, shared=shared):
        inputs = {name: value.to(model.device) for name, value in part["inputs"].items()}
        logprobs = response_logprobs_of(model, **inputs, shared=shared)
        here = {**part, "weights": part["weights"].to(model.device)}
        token_loss(logprobs, here)[0].backward()
    return importance(weights, gradients_of(model))


def _share(mask: Weights) -> float:
    """Share of all entries that a mask lets through."""
    entries = torch.cat([part.flatten() for part in mask.values()])
    return float(entries.float().mean())
