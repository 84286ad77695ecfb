"""`exante compare`: methods beside each other on equal terms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exante.cli import completion
from exante.cli.align import Data, Model, TeacherName
from exante.cli.options import AsJson, Changes, JudgeName, Lora, Rules, changes_of
from exante.cli.processes import Accelerate, in_processes
from exante.cli.progress import watched
from exante.cli.terminal import echo

if TYPE_CHECKING:
    from exante.pages.compared import Compared

Methods = Annotated[
    list[str] | None,
    typer.Argument(
        help="Recipes or recipe files; none: nine of them.", autocompletion=completion.recipes
    ),
]
Seeds = Annotated[int, typer.Option(help="Runs, with seeds from 0.", min=1)]
ReferenceName = Annotated[
    str,
    typer.Option(help="The method others are tested against.", autocompletion=completion.recipes),
]
SftTokens = Annotated[
    int | None, typer.Option(help="Tokens of supervised training, for each method.", min=1)
]
PreferenceTokens = Annotated[
    int | None, typer.Option(help="Tokens of preference training, for each method.", min=1)
]
OnlySeed = Annotated[
    int | None,
    typer.Option(
        help="Make this seed's run and no page: seeds can be made beside each other.",
        min=0,
    ),
]
Folder = Annotated[Path, typer.Option("--output", "-o", help="The same command continues there.")]


def compare(
    methods: Methods = None,
    seeds: Seeds = 3,
    reference: ReferenceName = "erpo",
    model: Model = None,
    data: Data = None,
    rules: Rules = None,
    teacher: TeacherName = None,
    judge: JudgeName = None,
    lora: Lora = None,
    sft_tokens: SftTokens = None,
    preference_tokens: PreferenceTokens = None,
    only_seed: OnlySeed = None,
    changes: Changes = None,
    accelerate: Accelerate = None,
    output: Folder = Path("runs/compare"),
    as_json: AsJson = False,
) -> None:
    """Compare methods on equal terms: one table, one page, paired tests, and the Pareto front.

    Example: exante compare dpo safedpo erpo --seeds 1 -o runs/three
    """
    from exante import api
    from exante.models.ranks import ranks

    in_processes(accelerate)
    with watched(output) as listener:
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
            lora=lora,
            sft_tokens=sft_tokens,
            preference_tokens=preference_tokens,
            only_seed=only_seed,
            settings=changes_of(changes),
            listener=listener,
        )
    if ranks().main:
        _show(found, only_seed, output, as_json)


def _show(found: Compared | None, only_seed: int | None, output: Path, as_json: bool) -> None:
    from exante.cli.table import compared_table

    if found is None:
        run = f"{output}/seed-{only_seed}"
        echo(f"\nfinished: {run}; the same command without --only-seed makes the page", err=True)
    elif as_json:
        echo(found.model_dump_json(by_alias=True))
    else:
        compared_table(found, output)
