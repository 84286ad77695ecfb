"""Preference optimisation of a policy on pairs, against a frozen reference."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from exante.models.ranks import ranks
from exante.records import Pair, read_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, in_parallel, model_of, point_at
from exante.stages.pair import PAIRS
from exante.training import PairLoss, TrainSettings, fit_pairs


class PreferConfig(Config):
    """What is optimised, and how to train."""

    loss: PairLoss = PairLoss()
    """The loss on a pair."""
    train: TrainSettings = TrainSettings(learning_rate=1e-4, epochs=1, batch_size=16)
    """Length and speed of the training."""


def run(config: PreferConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Train the policy; without a reference of its own, it is the policy as it came in.

    Where no pair was made there is nothing to prefer: the policy goes on as it is.
    """
    policy = model_of(inputs.one("policy"))
    reference = inputs.optional("reference")
    pairs = read_jsonl(inputs.one("pairs") / PAIRS, Pair)
    if not pairs:
        if ranks().main:
            point_at(policy, out)
        return {"items": 0}
    summary = fit_pairs(
        pairs,
        policy=policy,
        reference=model_of(reference) if reference else policy,
        out=out,
        settings=config.train,
        loss=config.loss,
        on_step=lambda step, steps, loss: tell(step, steps, f"steps, loss {loss:.3f}"),
    )
    return asdict(summary)


STAGE = Stage(
    "prefer",
    2,
    PreferConfig,
    run,
    reads=("policy", "pairs"),
    optional=("reference",),
    parallel=in_parallel,
)
