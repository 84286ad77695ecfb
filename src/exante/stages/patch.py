"""Patches a policy by what unlearning and learning its own harmful turns would change."""

from __future__ import annotations

from pathlib import Path

from exante import supervision
from exante.errors import InputError
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, in_parallel, model_of
from exante.stages.judge import judged_of
from exante.training import PatchSettings, TokenLoss, TokenRow, TrainSettings, fit_patches


class PatchConfig(Config):
    """How to train the two patches, and how to merge them."""

    patching: PatchSettings = PatchSettings()
    """Which entries are applied, and how strongly."""
    loss: TokenLoss = TokenLoss()
    """Its ceiling bounds the unlearning."""
    train: TrainSettings = TrainSettings(learning_rate=1e-4, epochs=1, batch_size=16)
    """Length and speed of each of the two trainings."""


def run(config: PatchConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the patched policy; what was trained on harm stays in memory."""
    policy, place = model_of(inputs.one("policy")), inputs.one("judged")
    rows = [
        TokenRow(turn.generation.example_id, *supervision.parts_of(turn))
        for group in supervision.by_prompt(judged_of(place)).values()
        for turn in group
        if turn.judgement.unsafe
    ]
    if not rows:
        raise InputError(
            "no finished turn does harm, so there is nothing to make patches from",
            where=str(place),
            fix="judge turns of a model that was not aligned",
        )
    return fit_patches(
        rows,
        policy=policy,
        out=out,
        settings=config.train,
        patching=config.patching,
        loss=config.loss,
        on_step=lambda step, steps, loss: tell(step, steps, f"steps, loss {loss:.3f}"),
    )


STAGE = Stage("patch", 1, PatchConfig, run, reads=("policy", "judged"), parallel=in_parallel)
