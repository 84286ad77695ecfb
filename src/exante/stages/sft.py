"""Supervised fine-tuning on turns to imitate, from one source or several."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import Field

from exante import traces
from exante.models.chat import Chat
from exante.models.folders import mark_trace
from exante.models.load import load_chat
from exante.models.ranks import ranks
from exante.records import Message
from exante.stages.base import MODEL, Config, Inputs, Stage, Summary, Tell, in_parallel, model_of
from exante.stages.prompts import prompts_by_id
from exante.stages.reason import traced_of
from exante.training import TokenRow, TrainSettings, fit_tokens


class SftConfig(Config):
    """How to train."""

    train: TrainSettings = TrainSettings()
    """Length and speed of the training."""
    opened: float = Field(default=0.75, ge=0.0, le=1.0)
    """Share of the traced turns whose opening is given, as by the runtime, and not learned."""


def run(config: SftConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Train the policy on trace and answer; the new policy goes to `out/model`.

    Whether it was taught traces is written into its config.
    """
    policy = model_of(inputs.one("policy"))
    chat = load_chat(policy)
    written = [turn for folder in inputs.many("traces").values() for turn in traced_of(folder)]
    turns = [turn for turn in written if turn.role == "right"]
    needed = [turn.example_id for turn in turns]
    examples = prompts_by_id(inputs.one("prompts"), "train", needed=needed)
    rng = random.Random(f"opened {config.train.seed}")
    rows = [
        as_sampled(
            turn.example_id,
            examples[turn.example_id].messages,
            turn.text,
            chat,
            opened=rng.random() < config.opened,
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
    traced = any(turn.level != "none" for turn in turns)
    if ranks().main:
        mark_trace(out / MODEL, "open" if traced else "free")
    return asdict(summary)


def as_sampled(
    example_id: str, messages: Sequence[Message], text: str, chat: Chat, *, opened: bool
) -> TokenRow:
    """The turn as it would be sampled: after an opening by the runtime, or from its beginning."""
    opening, begun = traces.opening(chat.tag), chat.begun(text)
    if opened and text.startswith(opening):
        given, learned = chat.beginning("open"), text.removeprefix(opening)
    else:
        own = chat.beginning("free")
        given = own if begun.startswith(own) else ""
        learned = begun.removeprefix(given)
    prompt = (*chat.prompt_ids(messages), *chat.encode(given))
    return TokenRow(example_id, prompt, (*chat.encode(learned), chat.eos_id))


STAGE = Stage("sft", 4, SftConfig, run, reads=("policy", "prompts", "traces"), parallel=in_parallel)
