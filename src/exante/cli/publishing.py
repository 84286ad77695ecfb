"""`exante card` and `exante push`: what a saved model is, and where others find it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exante.cli import completion
from exante.cli.terminal import echo
from exante.durable import write_text

ReportTo = Annotated[
    str, typer.Option(help="Watch trainings in tensorboard, wandb or trackio, with commas.")
]
PushToHub = Annotated[
    str | None, typer.Option(help="Upload the outcome to the hub in the end: USER/NAME.")
]
RunFolder = Annotated[
    Path, typer.Argument(help="A run folder of `align`.", autocompletion=completion.runs)
]


def card(
    run: RunFolder,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="None: print it.")] = None,
) -> None:
    """Write the card of the model that a run made: data, rules, results, limits, how to load it.

    Example: exante card runs/demo -o card.md
    """
    from exante.stages.card import card_of

    text = card_of(run)
    if output is None:
        echo(text, nl=False)
    else:
        write_text(output, text)


def push(
    run: RunFolder,
    to: Annotated[str, typer.Option(help="Hub id: USER/NAME.")],
    private: Annotated[bool, typer.Option("--private", help="Make it a private model.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Put what would be uploaded here, and upload nothing.")
    ] = None,
) -> None:
    """Upload the model that a run made, with its card; no data, no logs.

    The token is that of `hf auth login` or HF_TOKEN.

    Example: exante push runs/mine --to me/my-model --private
    """
    from exante.workflows.publishing import push_run

    echo(push_run(run, to, private=private, folder=folder))
