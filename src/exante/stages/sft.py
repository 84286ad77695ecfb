"""Supervised fine-tuning on the right turns of a teacher."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from exante.models.load import load_chat
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of
from exante.stages.prompts import prompts_by_id
from exante.stages.reason import traced_of
from exante.training import TokenRow, TrainSettings, fit_tokens


class SftConfig(Config):
    """How to train."""

    train: TrainSettings = TrainSettings()
    """Length and speed of the training."""


def run(config: SftConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Train the policy on trace and answer; the new policy goes to `out/model`."""
    policy = model_of(inputs.one("policy"))
    chat = load_chat(policy)
    turns = [turn for turn in traced_of(inputs.one("traces")) if turn.role == "right"]
    needed = [turn.example_id for turn in turns]
    examples = prompts_by_id(inputs.one("prompts"), "train", needed=needed)
    rows = [
        TokenRow(
            turn.example_id,
            chat.prompt_ids(examples[turn.example_id].messages),
            chat.turn(turn.text),
        )
        for turn in turns
    ]
    summary = fit_tokens(
        rows,
        policy=policy,
        out=out,
        settings=config.train,
        on_step=lambda step, steps, loss: tell(step, steps, f"steps, loss {loss:.3f}"),
    )
    return asdict(summary)


STAGE = Stage("sft", 1, SftConfig, run, reads=("policy", "prompts", "traces"))
