"""Writes cost and reward onto judged turns: those that the data give, or a cost model's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from exante.errors import InputError
from exante.labels import Label, labels_of
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.records import Example, Generation, Judged, Judgement, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.cost import readings
from exante.stages.judge import JUDGED
from exante.stages.judges import open_cost_model
from exante.stages.prompts import examples_of

_TOGETHER = 256
"""Turns given to a cost model between two words of progress."""


class LabelConfig(Config):
    """Which prompts the labels are about."""

    split: str = "train"
    """Split of the prompts; ignored for prompts that have only one list."""


def run(config: LabelConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the turns whose labels are known; without a cost model these are the data's.

    From data, responses that nobody sampled become turns, too, of source `dataset`.

    Raises:
        InputError: no turn has a label.
    """
    judged, costs = inputs.one("judged"), inputs.optional("costs")
    found = _given(config, inputs) if costs is None else _priced(config, inputs, costs, tell)
    if not found:
        raise InputError(
            "no turn has a label",
            where=str(inputs.one("prompts")),
            fix="give prompts with labelled responses, or name a cost step",
        )
    write_jsonl(out / JUDGED, found)
    point_at(model_of(judged), out)
    return {
        "turns": len(found),
        "sources": dict(Counter(turn.generation.source for turn in found)),
        "unsafe": sum((turn.judgement.cost or 0.0) > 0 for turn in found),
        "rewarded": sum(turn.judgement.reward is not None for turn in found),
    }


def _priced(config: LabelConfig, inputs: Inputs, costs: Path, tell: Tell) -> list[Judged]:
    """Every turn that the cost model can read, with its cost; verdicts stay the judge's."""
    model = open_cost_model(costs)
    read = readings(inputs, config.split)
    found: list[Judged] = []
    for start in range(0, len(read), _TOGETHER):
        part = read[start : start + _TOGETHER]
        prices = model.costs([(one.example.messages, one.answer) for one in part])
        for one, price in zip(part, prices, strict=True):
            if price is not None:
                found.append(_labelled(one.turn, Label(cost=price)))
        tell(start + len(part), len(read), "turns")
    return found


def _given(config: LabelConfig, inputs: Inputs) -> list[Judged]:
    """The labelled responses of the prompts as judged turns, sampled ones first."""
    chat = load_chat(model_of(inputs.one("judged")))
    examples = examples_of(inputs.one("prompts"), config.split)
    known = {(e.id, text): label for e in examples for text, label in labels_of(e).items()}
    found = [
        _labelled(read.turn, known.pop(key))
        for read in readings(inputs, config.split)
        if (key := (read.turn.generation.example_id, read.answer)) in known
    ]
    by_id = {e.id: e for e in examples}
    return found + [
        _labelled(_adopted(by_id[key], text, number, chat), label)
        for number, ((key, text), label) in enumerate(known.items())
    ]


def _adopted(example: Example, text: str, number: int, chat: Chat) -> Judged:
    """A response of the data as a turn that no judge has seen."""
    generation = Generation(
        example_id=example.id,
        sample=number,
        source="dataset",
        prompt_ids=chat.prompt_ids(example.messages),
        token_ids=chat.turn(text),
        text=text,
        finish="stop",
    )
    judgement = Judgement(
        example_id=example.id,
        sample=number,
        source="dataset",
        judge="data",
        answer="undetermined",
        unsafe=None,
    )
    return Judged(generation=generation, judgement=judgement)


def _labelled(turn: Judged, label: Label) -> Judged:
    """The turn with its cost, with a reward if there is one, and its verdict by the data's word."""
    update = label.model_dump(exclude_none=True)
    return turn.model_copy(update={"judgement": turn.judgement.model_copy(update=update)})


STAGE = Stage("label", 1, LabelConfig, run, reads=("judged", "prompts"), optional=("costs",))
