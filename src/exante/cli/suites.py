"""`exante suites`: what suites there are, and whether training prompts stand in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exante.cli import completion
from exante.cli.options import AsJson
from exante.cli.terminal import echo
from exante.errors import InputError, unknown_name

if TYPE_CHECKING:
    from exante.stages.overlap import Contamination

suites_app = typer.Typer(help="List known suites, and check them for training prompts.")

SuiteNames = Annotated[
    list[str] | None,
    typer.Option(
        "--suite",
        metavar="NAME|NAME=PATH|PATH",
        help="All prompts of a known suite or a file; repeatable. See `exante suites`.",
        autocompletion=completion.suites,
    ),
]
Column = Annotated[str | None, typer.Option(help="Column of a suite's prompt.")]
KindOfRest = Annotated[
    str | None, typer.Option("--kind", help="Kind of a suite's prompts that do not say theirs.")
]
Limit = Annotated[int | None, typer.Option(help="Most prompts of a kind, drawn by seed.", min=1)]
TrainedOn = Annotated[
    list[Path] | None,
    typer.Option("--trained-on", help="Training prompts to look for in suites; repeatable."),
]
_SHOWN = 20


@suites_app.callback(invoke_without_command=True)
def suites(context: typer.Context, as_json: AsJson = False) -> None:
    """List the known suites: prompts, kind, licence, and where they come from.

    Example: exante suites
    """
    if context.invoked_subcommand is not None:
        return
    from exante.suites import SUITES

    if as_json:
        listed = {name: suite.model_dump(mode="json") for name, suite in SUITES.items()}
        echo(json.dumps(listed, indent=2))
        return
    for suite in SUITES.values():
        files = ", ".join(
            f"{file.split} {file.prompts or '?'}{'' if file.hub else ' (no hub)'}"
            for file in suite.files
        )
        gated = " (asks for consent)" if suite.gated else ""
        echo(f"{suite.name:15} {suite.measures}")
        echo(f"{'':15} {', '.join(suite.kinds)}; prompts: {files}")
        echo(f"{'':15} {suite.licence}; {suite.citation}; {suite.home}{gated}")


@suites_app.command()
def check(
    training: Annotated[list[Path], typer.Argument(help="Files with training prompts.")],
    suite: SuiteNames = None,
    column: Column = None,
    kind: KindOfRest = None,
    threshold: Annotated[
        float, typer.Option(help="Jaccard similarity of near-duplicates.", min=0.01, max=1)
    ] = 0.6,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep all pairs in this JSON file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for near-duplicates of training prompts in suites.

    Example: exante suites check train.jsonl --suite xstest --suite harmbench=behaviors.csv
    """
    from exante.records import write_json
    from exante.stages.collect import collected, note_on
    from exante.stages.overlap import contamination, training_prompts

    if not suite:
        raise InputError("no suite is named", fix="--suite NAME, NAME=PATH or PATH")
    found = collected(suite, column=column, kind=known_kind(kind))
    examples = [example for one in found for example in one.examples]
    prompts = {str(path): training_prompts(path) for path in training}
    result = contamination(examples, prompts, threshold)
    if output is not None:
        write_json(output, result.model_dump(mode="json"))
    if as_json:
        echo(result.model_dump_json())
        return
    for one in found:
        echo(note_on(one.account))
    _show(result)


def known_kind(kind: str | None) -> Any:
    """The kind, if it is one.

    Raises:
        InputError: it is not.
    """
    from typing import get_args

    from exante.records import Kind

    if kind is not None and kind not in get_args(Kind):
        raise unknown_name("kind", kind, get_args(Kind), where="--kind")
    return kind


def _show(found: Contamination) -> None:
    for name, count in found.training.items():
        echo(f"training: {count} different prompts in {name}")
    for name, share in found.suites.items():
        echo(
            f"{name}: {share.trained_on} of {share.prompts} prompts are near-duplicates of "
            f"training prompts, {share.repeats} repeat an earlier one "
            f"(Jaccard {found.threshold:g} or more)"
        )
    for pair in found.pairs[:_SHOWN]:
        echo(f"  {pair.similarity:.2f}  {pair.prompt}  {pair.training}")
    if len(found.pairs) > _SHOWN:
        echo(f"  and {len(found.pairs) - _SHOWN} more; --output FILE keeps all")
