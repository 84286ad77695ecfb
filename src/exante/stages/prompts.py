"""Reading the prompts of an artefact, whichever stage made it."""

from __future__ import annotations

from pathlib import Path

from exante.errors import ArtefactError
from exante.records import Example, read_jsonl

EXAMPLES = "examples.jsonl"
SPLITS = ("train", "validation", "test")


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
