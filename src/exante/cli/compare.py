"""`exante compare`: methods beside each other on equal terms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exante.cli.processes import Accelerate, in_processes

_SftTokens = Annotated[
    int | None, typer.Option(help="Tokens of supervised training, for each method.", min=1)
]
_PreferenceTokens = Annotated[
    int | None, typer.Option(help="Tokens of preference training, for each method.", min=1)
]


def compare(
    methods: Annotated[
        list[str] | None, typer.Argument(help="Recipes or recipe files; none: nine of them.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs, with seeds from 0.", min=1)] = 3,
    reference: Annotated[str, typer.Option(help="The method others are tested against.")] = "erpo",
    model: Annotated[str | None, typer.Option(help="miniature, a folder, or a hub id.")] = None,
    data: Annotated[
        str | None, typer.Option(help="miniature, a mix (YAML), files, or hub:OWNER/NAME.")
    ] = None,
    rules: Annotated[str | None, typer.Option(help="A rule set or file.")] = None,
    teacher: Annotated[str | None, typer.Option(help="See `exante ls teachers`.")] = None,
    judge: Annotated[str | None, typer.Option(help="See `exante ls judges`.")] = None,
    sft_tokens: _SftTokens = None,
    preference_tokens: _PreferenceTokens = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STEP.FIELD=VALUE", help="Change a setting; repeatable."),
    ] = None,
    accelerate: Accelerate = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The same command continues there.")
    ] = Path("runs/compare"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare methods on equal terms: one table, one page, paired tests, and the Pareto front.

    Example: exante compare dpo safedpo erpo --seeds 1 -o runs/three
    """
    from exante import api
    from exante.cli.options import changes_of
    from exante.cli.progress import shown
    from exante.cli.table import compared_table

    in_processes(accelerate)
    with shown(output) as listener:
        found = api.compare(
            methods or api.METHODS,
            output=output,
            seeds=seeds,
            reference=reference,
            model=model,
            data=data,
            rules=rules,
            teacher=teacher,
            judge=judge,
            sft_tokens=sft_tokens,
            preference_tokens=preference_tokens,
            settings=changes_of(changes),
            listener=listener,
        )
    if found is None:
        return
    if as_json:
        typer.echo(found.model_dump_json(by_alias=True))
    else:
        compared_table(found, output)
