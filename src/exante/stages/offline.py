"""Turns of a data set, as if they had been sampled: the responses that prompts came with.

Judging and pairing then go on as with a policy's own turns; the judge `given` says what the data
set's labels say. Nothing is generated, and no weights are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from exante import traces
from exante.errors import InputError
from exante.formats.lint import preferred
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.records import Example, Generation, Traced, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.prompts import Split, examples_of
from exante.stages.reason import TRACED
from exante.stages.sample import GENERATIONS


class OfflineConfig(Config):
    """Which prompts' responses."""

    split: Split = "train"
    """Split of a source; ignored for prompts that have only one list."""


def run(config: OfflineConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write every response in the policy's tokens, and apart those that may be imitated."""
    policy = model_of(inputs.one("policy"))
    chat = load_chat(policy)
    examples = examples_of(inputs.one("prompts"), config.split)
    turns: list[Generation] = []
    for done, example in enumerate(examples, start=1):
        turns += turns_of(example, chat)
        tell(done, len(examples), "prompts")
    if not turns:
        raise InputError(
            "the prompts bring no responses",
            where=str(inputs.one("prompts")),
            fix="give a source with preference data; `exante data check FILE` says what a file has",
        )
    right = [turn for example in examples for turn in imitable(example, chat.tag)]
    write_jsonl(out / GENERATIONS, turns)
    write_jsonl(out / TRACED, right)
    point_at(policy, out)
    return {
        "turns": len(turns),
        "prompts": len({turn.example_id for turn in turns}),
        "empty": sum(not r.text for e in examples for r in e.responses),
        "imitable": len(right),
        "tokens": sum(len(turn.token_ids) for turn in turns),
    }


def turns_of(example: Example, chat: Chat) -> list[Generation]:
    """The responses of a prompt as turns, numbered as there; empty ones are no turns."""
    prompt_ids = chat.prompt_ids(example.messages)
    return [
        Generation(
            example_id=example.id,
            sample=place,
            source="dataset",
            prompt_ids=prompt_ids,
            token_ids=chat.turn(response.text),
            text=response.text,
            finish="stop",
        )
        for place, response in enumerate(example.responses)
        if response.text
    ]


def imitable(example: Example, tag: str) -> list[Traced]:
    """The preferred response, or the only one; none that is labelled unsafe."""
    chosen = 0 if len(example.responses) == 1 else preferred(example)
    if chosen is None or not example.responses[chosen].text:
        return []
    response = example.responses[chosen]
    if response.is_unsafe or (len(example.responses) == 1 and response.reward == 0.0):
        return []
    has_trace = traces.parse(response.text, tag=tag).present
    level: Literal["full", "none"] = "full" if has_trace else "none"
    return [Traced(example_id=example.id, text=response.text, level=level)]


STAGE = Stage("offline", 2, OfflineConfig, run, reads=("policy", "prompts"))
