"""`exante align`: a recipe from its start, or from where it stopped, to its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exante.cli import completion
from exante.cli.options import (
    AsJson,
    Changes,
    JudgeName,
    Lora,
    Output,
    Rules,
    SeedOrNone,
    changes_of,
    show_run,
)
from exante.cli.processes import Accelerate, in_processes
from exante.cli.progress import watched
from exante.cli.publishing import PushToHub, ReportTo

RecipeFile = Annotated[
    str | None,
    typer.Argument(help="A recipe file, instead of --recipe.", autocompletion=completion.recipes),
]
RecipeName = Annotated[
    str,
    typer.Option(
        help="A built-in recipe; see `exante ls recipes`.", autocompletion=completion.recipes
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="miniature, a folder, or a hub id.", autocompletion=completion.models),
]
Data = Annotated[
    str | None, typer.Option(help="miniature, a mix (YAML), files, or hub:OWNER/NAME.")
]
TeacherName = Annotated[
    str | None,
    typer.Option(
        help="Who writes traces: see `exante ls teachers`, or server:URL#MODEL.",
        autocompletion=completion.teachers,
    ),
]
Until = Annotated[str | None, typer.Option(help="Stop after this step or stage.")]
Reuse = Annotated[
    Path | None,
    typer.Option(
        help="A run whose traces are taken where rules did not change.",
        autocompletion=completion.runs,
    ),
]


def align(
    config: RecipeFile = None,
    recipe: RecipeName = "erpo",
    model: Model = None,
    data: Data = None,
    rules: Rules = None,
    teacher: TeacherName = None,
    judge: JudgeName = None,
    lora: Lora = None,
    changes: Changes = None,
    until: Until = None,
    reuse: Reuse = None,
    report_to: ReportTo = "",
    push_to_hub: PushToHub = None,
    seed: SeedOrNone = None,
    accelerate: Accelerate = None,
    output: Output = Path("runs/align"),
    as_json: AsJson = False,
) -> None:
    """Align a model by a recipe; without arguments, the embedded model by ERPO.

    Example: exante align --model ./my-model --data prompts.jsonl --rules general -o runs/mine
    """
    from exante import api

    in_processes(accelerate)
    with watched(output) as listener:
        run = api.align(
            config or recipe,
            output=output,
            model=model,
            data=data,
            rules=rules,
            teacher=teacher,
            judge=judge,
            lora=lora,
            seed=seed,
            settings=changes_of(changes),
            until=until,
            reuse=reuse,
            report_to=report_to,
            push_to=push_to_hub,
            listener=listener,
        )
    show_run(run, as_json, until)
