"""Fine-tunes a policy on rows whose tokens are worth different things."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from exante.models.ranks import ranks
from exante.records import Row, read_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, in_parallel, model_of, point_at
from exante.stages.shape import ROWS
from exante.training import TokenLoss, TokenRow, TrainSettings, fit_tokens


class TuneConfig(Config):
    """What is optimised, and how to train."""

    loss: TokenLoss = TokenLoss()
    """The loss on a token."""
    train: TrainSettings = TrainSettings(learning_rate=1e-4, epochs=1, batch_size=16)
    """Length and speed of the training."""


def run(config: TuneConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Train the policy; without a reference of its own, it is the policy as it came in.

    Where no row was made there is nothing to learn: the policy goes on as it is.
    """
    policy = model_of(inputs.one("policy"))
    reference = inputs.optional("reference")
    rows = [token_row(row) for row in read_jsonl(inputs.one("rows") / ROWS, Row)]
    if not rows:
        if ranks().main:
            point_at(policy, out)
        return {"items": 0}
    summary = fit_tokens(
        rows,
        policy=policy,
        reference=model_of(reference) if reference else policy,
        out=out,
        settings=config.train,
        loss=config.loss,
        on_step=lambda step, steps, loss: tell(step, steps, f"steps, loss {loss:.3f}"),
    )
    return asdict(summary)


def token_row(row: Row) -> TokenRow:
    """The row as training takes it; its references are not known yet."""
    return TokenRow(
        row.example_id,
        row.prompt_ids,
        row.response_ids,
        weight=row.weight,
        targets=row.targets,
        pull=row.pull,
    )


STAGE = Stage(
    "tune",
    1,
    TuneConfig,
    run,
    reads=("policy", "rows"),
    optional=("reference",),
    parallel=in_parallel,
)
