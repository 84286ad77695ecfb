"""Looks for near-duplicates: of training prompts in suites, and of a suite's prompts in itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from exante import overlap
from exante.records import Example, Record, write_json
from exante.rows import sha256_of
from exante.stages.base import Config, Inputs, Stage, Summary, Tell
from exante.stages.prompts import examples_of
from exante.stages.tables import table_examples

CONTAMINATION = "contamination.json"
THRESHOLD = 0.6


class OverlapConfig(Config):
    """What the prompts are compared with."""

    training: tuple[str, ...] = ()
    """Files with prompts that were trained on; without any, suites are compared with themselves."""
    threshold: float = Field(default=THRESHOLD, gt=0, le=1)
    """Jaccard similarity of character shingles from which two prompts are near-duplicates."""


class Twin(Record):
    """A suite's prompt and one that was trained on, by id; their texts are left where they are."""

    prompt: str
    training: str
    similarity: float


class Share(Record):
    """One suite's part."""

    prompts: int
    trained_on: int
    """Prompts with a near-duplicate among the training prompts."""
    repeats: int
    """Prompts with a near-duplicate further up in the same suite."""


class Contamination(Record):
    """What suites share with training, and with themselves."""

    threshold: float
    training: dict[str, int]
    """Different training prompts by file."""
    suites: dict[str, Share]
    pairs: tuple[Twin, ...]
    """The most similar first."""


def identity(config: OverlapConfig) -> dict[str, str]:
    """The hash of every training file."""
    return {name: sha256_of(Path(name)) for name in config.training}


def run(config: OverlapConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write all pairs; the summary counts them."""
    found = contamination(
        examples_of(inputs.one("prompts"), "test"),
        {name: training_prompts(Path(name)) for name in config.training},
        config.threshold,
    )
    write_json(out / CONTAMINATION, found.model_dump(mode="json"))
    return {
        "pairs": len(found.pairs),
        "trained_on": sum(share.trained_on for share in found.suites.values()),
        "repeats": sum(share.repeats for share in found.suites.values()),
        "notes": notes_on(found),
    }


def training_prompts(path: Path) -> dict[str, str]:
    """The different prompts of a training file, by the id of the first row with each.

    Raises:
        InputError: the file cannot be read or a row does not fit.
    """
    first: dict[str, str] = {}
    for example in table_examples(path, column=None, kind=None):
        first.setdefault(example.prompt, f"{path.name}: {example.id}")
    return {key: prompt for prompt, key in first.items()}


def contamination(
    examples: Sequence[Example], training: Mapping[str, Mapping[str, str]], threshold: float
) -> Contamination:
    """Pairs and counts; `training` are prompts by id, by file. A suite is an example's `source`.

    Compared is what is asked: a context in front of it, or an instruction of ours behind it, would
    hide that it was trained on.
    """
    trained = {key: prompt for prompts in training.values() for key, prompt in prompts.items()}
    keys, texts = list(trained), [_asked(example) for example in examples]
    matches = overlap.similar(texts, list(trained.values()), threshold)
    twins = [
        Twin(prompt=examples[m.left].id, training=keys[m.right], similarity=round(m.similarity, 4))
        for m in matches
    ]
    touched = Counter(examples[place].source for place in {m.left for m in matches})
    suites = {}
    for name in dict.fromkeys(example.source for example in examples):
        own = [_asked(example) for example in examples if example.source == name]
        suites[name] = Share(
            prompts=len(own),
            trained_on=touched[name],
            repeats=len({m.left for m in overlap.repeats(own, threshold)}),
        )
    return Contamination(
        threshold=threshold,
        training={name: len(prompts) for name, prompts in training.items()},
        suites=suites,
        pairs=tuple(sorted(twins, key=lambda twin: (-twin.similarity, twin.prompt, twin.training))),
    )


def untouched(
    examples: Sequence[Example], suites: Sequence[Example], threshold: float = THRESHOLD
) -> list[Example]:
    """The examples whose prompts are no near-duplicates of what suites ask."""
    asked = [_asked(example) for example in suites]
    matches = overlap.similar([example.prompt for example in examples], asked, threshold)
    touched = {match.left for match in matches}
    return [example for place, example in enumerate(examples) if place not in touched]


def _asked(example: Example) -> str:
    return str(example.facts.get("plain", example.prompt))


def notes_on(found: Contamination) -> list[str]:
    """What a reader of the numbers must know."""
    notes = []
    for name, share in found.suites.items():
        if share.trained_on:
            notes.append(
                f"{name}: {share.trained_on} of {share.prompts} prompts are near-duplicates of "
                f"training prompts (Jaccard {found.threshold:g} or more; {CONTAMINATION}): numbers "
                "on them show memory, not generalisation."
            )
        if share.repeats:
            notes.append(
                f"{name}: {share.repeats} of {share.prompts} prompts repeat an earlier one "
                f"(Jaccard {found.threshold:g} or more): intervals take them for independent."
            )
    return notes


STAGE = Stage("overlap", 1, OverlapConfig, run, reads=("prompts",), identity=identity)
