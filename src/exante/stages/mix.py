"""What prompts are made of: files and hub data sets, how each is read, and how much of each.

A mix is a YAML file of `portions`; a list of files on the command line is a mix without wishes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from exante import documents
from exante.errors import InputError
from exante.formats import Reading
from exante.formats.base import Preference
from exante.records import Example, Kind, Record
from exante.rows import sha256_of
from exante.stages.base import Config
from exante.stages.collect import collected
from exante.stages.dataset import Rejected, brings_answers, read_data
from exante.stages.hub import PREFIX, located
from exante.stages.overlap import untouched
from exante.stages.prompts import Split
from exante.stages.tables import table_examples
from exante.suites import parse_request, public_file
from exante.suites.load import locate

_ENDINGS = (".yaml", ".yml")
_FIX = "see docs/data.md for the form of a mix"
_STRONGEST: tuple[Split, ...] = ("test", "validation", "train")
"""A prompt that two portions want in two splits goes where it does least harm."""


class Portion(Config):
    """One file or data set, and what to take of it."""

    data: str = Field(min_length=1)
    """A file, from the mix's own folder, or `hub:OWNER/NAME[@REVISION][:CONFIG][#SPLIT]`."""
    licence: str | None = None
    """Of the data; it is carried along into reports and model cards."""
    format: str | None = None
    """See `exante ls formats`; None goes by the columns."""
    columns: dict[str, str] = {}
    """Where fields stand that have other names there: `prompt: ask`."""
    prefers: Preference = "better"
    """What it means that an answer was chosen."""
    kind: Kind | None = None
    """Kind of prompts that do not say theirs."""
    only: tuple[Kind, ...] = ()
    """Take prompts of these kinds; empty: of all."""
    limit: int | None = Field(default=None, ge=1)
    """Most rows; always the same ones, and rows of one prompt stay together."""
    without: tuple[str, ...] = ()
    """Leave out near-duplicates of these suites' prompts: `NAME`, `NAME=PATH` or `PATH`."""
    split: Split | None = None
    """Use it for this only; None: its prompts are divided."""


class Mix(Config):
    """All portions, in order."""

    portions: tuple[Portion, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [portion.data for portion in self.portions]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} stands in two portions")
        return self


class Account(Record):
    """What was taken of one portion."""

    data: str
    sha256: str
    licence: str | None
    """As the mix says, else that of the public suite whose file it is."""
    rows: int
    """That could be read."""
    used: int
    kinds: dict[str, int]
    """Rows used by kind."""
    left_out: dict[str, int]
    """Rows by the reason they were left out."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """The examples of all portions, and an account of each."""

    examples: list[Example]
    splits: dict[str, Split]
    """By split group, where a portion names one."""
    rejected: list[Rejected]
    accounts: list[Account]


def portions_of(data: str, wishes: Mapping[str, Any]) -> tuple[Portion, ...]:
    """The portions of a mix file, or of names with commas between them, which share the wishes.

    Raises:
        InputError: the mix cannot be read or does not fit (names line and field), or wishes stand
            beside it.
    """
    if not data.endswith(_ENDINGS):
        names = (name.strip() for name in data.split(","))
        return tuple(Portion(data=name, **wishes) for name in names if name)
    if wishes:
        raise InputError(
            f"{next(iter(wishes))} stands beside a mix", where=data, fix="say it in its portions"
        )
    path = Path(data)
    return tuple(
        portion
        if portion.data.startswith(PREFIX)
        else portion.model_copy(update={"data": str(path.parent / portion.data)})
        for portion in documents.read(path, Mix, fix=_FIX).portions
    )


def identity_of(portions: Sequence[Portion]) -> dict[str, str]:
    """What decides the prompts: all wishes, and the hash of every file, those of suites included.

    Raises:
        InputError: a file cannot be read or fetched.
    """
    if not portions:
        return {}
    wishes = json.dumps([portion.model_dump(mode="json") for portion in portions], sort_keys=True)
    suites = {name for portion in portions for name in portion.without}
    return {
        "portions": hashlib.sha256(wishes.encode()).hexdigest(),
        **{portion.data: sha256_of(located(portion.data)) for portion in portions},
        **{name: locate(parse_request(name)).sha256 for name in sorted(suites)},
    }


def mixed(portions: Sequence[Portion]) -> Mixed:
    """What the portions give together.

    Raises:
        InputError: a portion cannot be read, gives nothing, or repeats ids of another.
    """
    found = Mixed([], {}, [], [])
    for portion in portions:
        _add(found, portion)
    twice = next((k for k, n in Counter(e.id for e in found.examples).items() if n > 1), None)
    if twice is not None:
        raise InputError(
            f"id {twice!r} stands in two files",
            where=", ".join(portion.data for portion in portions),
            fix="rename one of the files",
        )
    return found


def _add(found: Mixed, portion: Portion) -> None:
    path = located(portion.data)
    examples, rejected = _read(path, portion)
    kept, left = examples, Counter({"rejected": len(rejected)})
    for reason, chosen in _narrowed(examples, portion):
        left[reason] += len(kept) - len(chosen)
        kept = chosen
    if not kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left.items() if count)
        raise InputError(
            f"holds no prompts ({reasons})" if reasons else "holds no prompts",
            where=portion.data,
            fix="give a file with prompts",
        )
    found.examples.extend(kept)
    found.rejected.extend(rejected)
    if portion.split is not None:
        for group in {example.split_group for example in kept}:
            wanted = (portion.split, found.splits.get(group, portion.split))
            found.splits[group] = min(wanted, key=_STRONGEST.index)
    digest = sha256_of(path)
    public = public_file(digest)
    found.accounts.append(
        Account(
            data=portion.data,
            sha256=digest,
            licence=portion.licence or (public[0].licence if public else None),
            rows=len(examples),
            used=len(kept),
            kinds=dict(Counter(example.kind for example in kept)),
            left_out={reason: count for reason, count in left.items() if count},
        )
    )


def _read(path: Path, portion: Portion) -> tuple[list[Example], list[Rejected]]:
    """Prompts, those that came with answers among them, and rows of answers that did not fit."""
    column = portion.columns.get("prompt")
    if set(portion.columns) > {"prompt"} or portion.format or (not column and brings_answers(path)):
        how = Reading(prefers=portion.prefers, kind=portion.kind)
        data = read_data(path, form=portion.format, columns=portion.columns, how=how)
        return data.examples, data.rejected
    return table_examples(path, column=column, kind=portion.kind), []


def _narrowed(examples: list[Example], portion: Portion) -> Iterator[tuple[str, list[Example]]]:
    """One wish after another: why rows go, and the rows that stay."""
    if portion.only:
        examples = [example for example in examples if example.kind in portion.only]
        yield f"not {' or '.join(portion.only)}", examples
    if portion.without:
        suites = collected(list(portion.without), keep=("copyright",))
        examples = untouched(examples, [e for suite in suites for e in suite.examples])
        yield "near-duplicates of a suite's prompts", examples
    if portion.limit is not None:
        examples = _first_of(examples, portion.limit)
        yield "over the limit", examples


def _first_of(examples: Sequence[Example], limit: int) -> list[Example]:
    """So many examples at most, whole groups in the order of their hashes, as they stood."""
    sizes = Counter(example.split_group for example in examples)
    kept: set[str] = set()
    room = limit
    for group in sorted(sizes, key=lambda name: hashlib.sha256(f"mix {name}".encode()).digest()):
        if sizes[group] <= room:
            kept.add(group)
            room -= sizes[group]
    return [example for example in examples if example.split_group in kept]
