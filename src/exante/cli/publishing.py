"""`exante card` and `exante push`: what a saved model is, and where others find it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

ReportTo = Annotated[
    str, typer.Option(help="Watch trainings in tensorboard, wandb or trackio, with commas.")
]
PushToHub = Annotated[
    str | None, typer.Option(help="Upload the outcome to the hub in the end: USER/NAME.")
]
RunFolder = Annotated[Path, typer.Argument(help="A run folder of `align`.")]


def card(
    run: RunFolder,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="None: print it.")] = None,
) -> None:
    """Write the card of the model that a run made: data, rules, results, limits, how to load it.

    Example: exante card runs/demo -o card.md
    """
    from exante.records import write_text
    from exante.stages.card import card_of

    text = card_of(run)
    if output is None:
        typer.echo(text, nl=False)
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
    typer.echo(push_run(run, to, private=private, folder=folder))


def push_run(run: Path, to: str, *, private: bool = False, folder: Path | None = None) -> str:
    """Gather and upload the outcome of a run; a line that says where it is.

    Raises:
        InputError: the run has no model, or the hub cannot be used from here.
        RunError: the upload failed.
    """
    from exante.models.hub import gather, require_id, upload
    from exante.stages.card import card_of
    from exante.stages.runs import final_model

    require_id(to)
    text, model = card_of(run, name=to), final_model(run)
    if folder is not None:
        names = gather(model, text, folder)
        return f"{folder}: {', '.join(names)}"
    with tempfile.TemporaryDirectory(prefix="exante-push-") as place:
        gather(model, text, Path(place))
        return upload(Path(place), to, private=private)
