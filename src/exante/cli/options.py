"""Options that several commands share, and what becomes of their values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exante import documents
from exante.cli import completion
from exante.cli.terminal import echo
from exante.errors import InputError
from exante.models.ranks import ranks

if TYPE_CHECKING:
    from exante.api import Run
    from exante.pages.results import Results

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Run folder; the same command continues there.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STEP.FIELD=VALUE", help="Change a setting; repeatable."),
]
Seed = Annotated[int, typer.Option(help="Seed of prompts, sampling and training.")]
SeedOrNone = Annotated[int | None, typer.Option(help="Seed of prompts, sampling and training.")]
Rules = Annotated[
    str | None,
    typer.Option(help="general, miniature, or a YAML file.", autocompletion=completion.rules),
]
JudgeName = Annotated[
    str | None,
    typer.Option(help="Who judges; see `exante ls judges`.", autocompletion=completion.judges),
]
Lora = Annotated[
    int | None,
    typer.Option(metavar="RANK", help="Train adapters of this rank, not all weights."),
]
ModelName = Annotated[
    str,
    typer.Argument(
        help="A model folder, a run folder, or miniature.", autocompletion=completion.models
    ),
]


def changes_of(pairs: list[str] | None) -> dict[str, Any]:
    """`step.field=value` texts as a mapping; values are read as YAML."""
    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise InputError(
                "not of the form step.field=value",
                where=f"--set {pair}",
                fix="exante align --set tuned.loss.beta=0.2",
            )
        found[key] = documents.values(value, where=f"--set {key}")
    return found


def show_run(run: Run, as_json: bool, until: str | None = None) -> None:
    """Print what a run came to; of one that was not to come to a report, that it is done."""
    if ranks().main:
        whole = until is None and run.has_report
        show_results(run.results if whole else None, run.folder, as_json)


def show_results(results: Results | None, run: Path, as_json: bool) -> None:
    """Print the closing table or the results themselves, from one process only."""
    from exante.cli.table import closing_table

    if not ranks().main:
        return
    if results is None:
        echo(f"no report was asked for; finished steps are in {run}", err=True)
    elif as_json:
        echo(results.model_dump_json(by_alias=True))
    else:
        closing_table(results, run)
