"""Puts a defence around prompts: what the model reads instead of them."""

from __future__ import annotations

from pathlib import Path

from exante import traces
from exante.defences import DEFENCES, KNOWLEDGE, defended
from exante.errors import unknown_name
from exante.models.load import load_chat
from exante.records import Generation, read_jsonl, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of
from exante.stages.prompts import EXAMPLES, Split, examples_of
from exante.stages.sample import GENERATIONS


class DefendConfig(Config):
    """Which defence."""

    defence: str
    """A strategy of `exante.defences`."""
    split: Split = "test"
    """Split of the prompts; ignored for prompts that have only one list."""


def run(config: DefendConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write every prompt as the defence changes it, under its own id."""
    if config.defence not in DEFENCES:
        raise unknown_name("defence", config.defence, DEFENCES)
    defence = DEFENCES[config.defence]
    examples = examples_of(inputs.one("prompts"), config.split)
    sampled = inputs.optional("generations")
    answers = answers_of(sampled) if sampled else {}
    write_jsonl(out / EXAMPLES, (defended(e, defence, answers.get(e.id)) for e in examples))
    informed = sum(bool(e.facts.get(KNOWLEDGE)) for e in examples)
    notes = [
        f"{defence.name}: {informed} of {len(examples)} prompts say what is known about their "
        f"subject (facts.{KNOWLEDGE}); the others were asked as they are."
    ]
    short = defence.informs and 2 * informed < len(examples)
    return {"prompts": len(examples), "informed": informed, "notes": notes if short else []}


def answers_of(sampled: Path) -> dict[str, str]:
    """The first answer to each prompt by its id, without trace; a turn that ends in it as it is."""
    tag = load_chat(model_of(sampled)).tag
    found: dict[str, str] = {}
    for turn in read_jsonl(sampled / GENERATIONS, Generation):
        parsed = traces.parse(turn.text, tag=tag, finished=turn.finish == "stop")
        found.setdefault(turn.example_id, turn.text if parsed.answer is None else parsed.answer)
    return found


STAGE = Stage("defend", 1, DefendConfig, run, reads=("prompts",), optional=("generations",))
