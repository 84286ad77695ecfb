"""Pins outside things: a model by its weights, prompts by the hash of their file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from exante import plugins
from exante.formats.base import Preference
from exante.models.folders import resolve, weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.probe import looks_untrained
from exante.records import Kind, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, point_at
from exante.stages.mix import Mixed, Portion, identity_of, mixed, portions_of
from exante.stages.prompts import SPLITS
from exante.stages.served import address_of, pin_server
from exante.stages.tables import split_by_group

SOURCES: dict[str, str] = {"miniature": "exante.miniature.prompts:examples"}
"""Embedded prompts by name: functions from a seed to examples by split."""


class SourceConfig(Config):
    """What to pin: a model or prompts."""

    model: str | None = None
    """`miniature`, a folder, a Hugging Face id, or `server:http://HOST/v1#MODEL`."""
    data: str | None = None
    """`miniature`, a mix (YAML), or files and hub data sets with commas between them."""
    column: str | None = None
    """Column of the prompt; None looks for a usual name."""
    kind: Kind | None = None
    """Kind of prompts that do not say theirs."""
    format: str | None = None
    """Format of files with answers (`exante ls formats`); None goes by their columns."""
    prefers: Preference = "better"
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
        of_files = {"column", "kind", "format", "prefers"}
        said = sorted(name for name in of_files if getattr(self, name) not in (None, "better"))
        if said and (self.data is None or self.data in SOURCES):
            raise ValueError(f"{said[0]} is said of files; {self.data or self.model} is none")
        return self


def identity(config: SourceConfig) -> dict[str, str]:
    """The hash of what lies outside: a changed file is another artefact.

    A model on a server is its address; what the server tells is compared when it is sampled.
    """
    if config.model is not None and address_of(config.model):
        return {}
    if config.model is not None:
        return {"weights": weights_fingerprint(resolve(config.model))}
    return identity_of(_portions(config))


def run(config: SourceConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write a pointer to the model, or the prompts by split."""
    if config.model is not None and (address := address_of(config.model)):
        return pin_server(address, out)
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
    return _pin_prompts(config, out)


def _pin_prompts(config: SourceConfig, out: Path) -> Summary:
    """Write the prompts by split, and what they are made of."""
    found: Mixed | None = None
    if config.data in SOURCES:
        splits = plugins.load(SOURCES, config.data, "data source")(config.seed)
    else:
        found = mixed(_portions(config))
        shares = (config.validation_share, config.test_share)
        splits = split_by_group(found.examples, *shares, fixed=found.splits)
    for split in SPLITS:
        write_jsonl(out / f"{split}.jsonl", splits.get(split, []))
    summary: Summary = {
        "data": config.data,
        **{split: len(splits.get(split, [])) for split in SPLITS},
    }
    if found is not None:
        summary["portions"] = [one.model_dump(mode="json") for one in found.accounts]
        if found.rejected:
            summary["rejected"] = len(found.rejected)
            write_jsonl(out / "rejected.jsonl", found.rejected)
    return summary


def _portions(config: SourceConfig) -> tuple[Portion, ...]:
    if config.data is None or config.data in SOURCES:
        return ()
    wishes = {
        "columns": {"prompt": config.column} if config.column else {},
        "kind": config.kind,
        "format": config.format,
        "prefers": config.prefers if config.prefers != "better" else None,
    }
    return portions_of(config.data, {name: wish for name, wish in wishes.items() if wish})


STAGE = Stage("source", 3, SourceConfig, run, identity=identity)
