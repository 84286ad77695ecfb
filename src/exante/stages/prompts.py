"""Reading the prompts of an artefact, whichever stage made it."""

from __future__ import annotations

from collections.abc import Iterable
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


def prompts_by_id(
    folder: Path, split: str | None = None, *, needed: Iterable[str] = ()
) -> dict[str, Example]:
    """The prompts of a split by id, among them all that are needed.

    Raises:
        ArtefactError: a needed prompt is not there: the two steps do not belong together.
    """
    examples = {example.id: example for example in examples_of(folder, split)}
    missing = next((key for key in needed if key not in examples), None)
    if missing is not None:
        raise ArtefactError(
            f"has no prompt {missing!r}, which another input is about",
            where=str(folder),
            fix="read both from the same prompts and split",
        )
    return examples
