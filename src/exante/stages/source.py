"""Pins outside things: a model by its weights, prompts by the hash of their file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from exante import plugins
from exante.errors import InputError
from exante.formats import Reading
from exante.models.load import load_chat, load_model, resolve, weights_fingerprint
from exante.models.probe import looks_untrained
from exante.records import Example, write_json, write_jsonl
from exante.rows import sha256_of
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, point_at
from exante.stages.dataset import Rejected, brings_answers, read_data
from exante.stages.prompts import SPLITS
from exante.stages.tables import split_by_group, table_examples

SOURCES: dict[str, str] = {"miniature": "exante.miniature.prompts:examples"}
"""Embedded prompts by name: functions from a seed to examples by split."""


class SourceConfig(Config):
    """What to pin: a model or prompts."""

    model: str | None = None
    """`miniature`, a folder, or a Hugging Face id."""
    data: str | None = None
    """`miniature`, or a JSONL or CSV file (several with commas between them)."""
    column: str | None = None
    """Column of the prompt; None looks for a usual name."""
    kind: Literal["harmful", "benign", "borderline", "capability"] | None = None
    """Kind of prompts that do not say theirs."""
    format: str | None = None
    """Format of files with answers (`exante ls formats`); None goes by their columns."""
    prefers: Literal["better", "safer"] = "better"
    """What it means that an answer was chosen."""
    validation_share: float = Field(default=0.15, ge=0, lt=1)
    """Share of the groups of a user's file that become validation prompts."""
    test_share: float = Field(default=0.25, ge=0, lt=1)
    """Share of the groups of a user's file that become test prompts."""
    seed: int = 0
    """Chooses wordings of embedded prompts."""

    @model_validator(mode="after")
    def _one_thing(self) -> SourceConfig:
        if (self.model is None) == (self.data is None):
            raise ValueError("give a model or data, not both")
        return self


def identity(config: SourceConfig) -> dict[str, str]:
    """The hash of what lies outside: a changed file is another artefact."""
    if config.model is not None:
        return {"weights": weights_fingerprint(resolve(config.model))}
    return {name: sha256_of(Path(name)) for name in _files(config)}


def run(config: SourceConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write a pointer to the model, or the prompts by split."""
    if config.model is not None:
        folder = resolve(config.model)
        model, chat = load_model(folder), load_chat(folder)
        point_at(folder, out)
        return {
            "model": config.model,
            "parameters": model.num_parameters(),
            "vocabulary": len(chat.tokenizer),
            "untrained": looks_untrained(model, chat),
        }
    if config.data in SOURCES:
        splits = plugins.load(SOURCES, config.data, "data source")(config.seed)
        rejected: list[Rejected] = []
    else:
        splits, rejected = _from_files(config)
    for split in SPLITS:
        write_jsonl(out / f"{split}.jsonl", splits.get(split, []))
    if rejected:
        write_jsonl(out / "rejected.jsonl", rejected)
    write_json(out / "source.json", {"data": config.data, "sha256": identity(config)})
    counts = {split: len(splits.get(split, [])) for split in SPLITS}
    return {"data": config.data, **counts, **({"rejected": len(rejected)} if rejected else {})}


def _from_files(config: SourceConfig) -> tuple[dict[str, list[Example]], list[Rejected]]:
    """Prompts by split, those that came with answers among them, and rows that did not fit."""
    examples: list[Example] = []
    rejected: list[Rejected] = []
    how = Reading(prefers=config.prefers, kind=config.kind)
    for path in map(Path, _files(config)):
        if config.column is None and (config.format or brings_answers(path)):
            found = read_data(path, form=config.format, how=how)
            examples += found.examples
            rejected += found.rejected
        else:
            examples += table_examples(path, column=config.column, kind=config.kind)
    if not examples:
        raise InputError("holds no prompts", where=config.data, fix="give a file with prompts")
    twice = [key for key, count in Counter(e.id for e in examples).items() if count > 1]
    if twice:
        raise InputError(
            f"id {twice[0]!r} stands in two files", where=config.data, fix="rename one of the files"
        )
    return split_by_group(examples, config.validation_share, config.test_share), rejected


def _files(config: SourceConfig) -> list[str]:
    if config.data is None or config.data in SOURCES:
        return []
    return [name.strip() for name in config.data.split(",")]


STAGE = Stage("source", 2, SourceConfig, run, identity=identity)
