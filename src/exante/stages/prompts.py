"""Reading the prompts of an artefact, whichever stage made it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from exante.errors import ArtefactError
from exante.records import Example, read_jsonl

EXAMPLES = "examples.jsonl"
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def examples_of(folder: Path, split: str | None = None) -> list[Example]:
    """The prompts of a split, or of an artefact that has just one list.

    Raises:
        ArtefactError: the artefact holds no such prompts.
    """
    single = folder / EXAMPLES
    if single.is_file():
        return read_jsonl(single, Example)
    path = folder / f"{split or 'train'}.jsonl"
    if not path.is_file():
        raise ArtefactError("holds no prompts", where=str(folder), fix="name a source or an attack")
    return read_jsonl(path, Example)


def examples_of_all(folders: Iterable[Path], split: str | None = None) -> list[Example]:
    """The prompts of several artefacts, each id once, in order.

    Raises:
        ArtefactError: one of them holds no prompts.
    """
    found = [example for folder in folders for example in examples_of(folder, split)]
    return list({example.id: example for example in found}.values())


def prompts_by_id(
    folder: Path, split: str | None = None, *, needed: Iterable[str] = ()
) -> dict[str, Example]:
    """The prompts of a split by id, among them all that are needed.

    Raises:
        ArtefactError: a needed prompt is not there: the two steps do not belong together.
    """
    return all_prompts_by_id([folder], split, needed=needed)


def all_prompts_by_id(
    folders: Iterable[Path], split: str | None = None, *, needed: Iterable[str] = ()
) -> dict[str, Example]:
    """The same for the prompts of several artefacts together."""
    places = list(folders)
    examples = {example.id: example for example in examples_of_all(places, split)}
    missing = next((key for key in needed if key not in examples), None)
    if missing is not None:
        raise ArtefactError(
            f"has no prompt {missing!r}, which another input is about",
            where=", ".join(map(str, places)),
            fix="read both from the same prompts and split",
        )
    return examples
