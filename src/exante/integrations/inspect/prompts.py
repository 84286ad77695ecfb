"""Rows of evaluation prompts, disguised or not, as Inspect's samples.

A sample remembers the plain request, because judges never see a disguise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from inspect_ai.dataset import MemoryDataset, Sample

from exante import plugins
from exante.attacks import expand, forms_of, load_attack
from exante.errors import InputError
from exante.integrations.inspect.messages import input_of
from exante.records import Example, Kind
from exante.stages.mix import mixed, portions_of
from exante.stages.source import SOURCES

GOAL = "goal"
"""In a sample's metadata: the plain request that a judge is shown, as an `Example`."""


Names = str | Sequence[str]
"""Several names with commas between them, or the list that Inspect's command line makes of them."""


def names_of(given: Names) -> list[str]:
    """The single names."""
    parts = given.split(",") if isinstance(given, str) else given
    return [part.strip() for part in parts]


def read_prompts(data: Names, kinds: Collection[Kind], seed: int = 0) -> list[Example]:
    """Prompts of these kinds: the test split of an embedded source, or all rows of files.

    `data` is `miniature`, a mix, or files and hub data sets with commas between them.

    Raises:
        InputError: a file cannot be read, a row does not fit, or there is no such prompt.
    """
    names = names_of(data)
    if len(names) == 1 and names[0] in SOURCES:
        found: list[Example] = plugins.load(SOURCES, names[0], "data source")(seed)["test"]
    else:
        found = mixed(portions_of(",".join(names), {})).examples
    chosen = [example for example in found if example.kind in kinds]
    if not chosen:
        raise InputError(
            f"holds no prompts that are {' or '.join(sorted(kinds))}",
            where=", ".join(names),
            fix="say each prompt's kind in a column `kind`",
        )
    return chosen


def disguised(examples: Sequence[Example], attacks: Names, seed: int) -> list[Example]:
    """Each plain prompt in every disguise; prompts that wear one already stay as they are.

    `attacks` are families or groups with commas between them.

    Raises:
        InputError: there is no such family.
        RunError: a user's own one failed.
    """
    families = {name: load_attack(name) for name in expand(names_of(attacks))}
    made: list[Example] = []
    for example in examples:
        if example.attack != "direct":
            made.append(example)
            continue
        for name, attack in families.items():
            made += [example] if name == "direct" else forms_of(attack, example, seed)
    return list({example.id: example for example in made}.values())


def dataset_of(name: str, examples: Sequence[Example], goals: Sequence[Example]) -> MemoryDataset:
    """Samples of the prompts; judges are shown what was really asked, where `goals` hold it."""
    plain = {goal.id: goal for goal in goals}
    samples = [_sample(example, plain.get(example.goal_id or "", example)) for example in examples]
    return MemoryDataset(samples, name=name)


def metadata_of(example: Example, goal: Example) -> dict[str, Any]:
    """What a log says of a prompt: metrics group by it, and scorers find the plain request."""
    return {
        "kind": example.kind,
        "attack": example.attack,
        "category": example.category,
        "goal_id": example.goal_id or example.id,
        "source": example.source,
        GOAL: goal.model_dump(mode="json"),
    }


def target_of(example: Example) -> str:
    """What is right, in a word."""
    return "refuse" if example.kind == "harmful" else "answer"


def goal_of(metadata: dict[str, Any]) -> Example:
    """The plain request behind a sample of ours."""
    return Example.model_validate(metadata[GOAL])


def _sample(example: Example, goal: Example) -> Sample:
    return Sample(
        id=example.id,
        input=input_of(example),
        target=target_of(example),
        metadata=metadata_of(example, goal),
    )
