"""`exante model merge`: an adapter as a model that anything loads."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from exante.cli.terminal import echo


class Dtype(StrEnum):
    """What weights are written as."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def merge(
    model: Annotated[Path, typer.Argument(help="A run folder, a step, or an adapter's folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the model goes.")],
    dtype: Annotated[
        Dtype, typer.Option(help="bfloat16 is half as large and rounds every weight.")
    ] = Dtype.float32,
) -> None:
    """Merge an adapter into its base: a plain transformers folder, of a run with its card.

    Example: exante model merge runs/mine -o my-aligned-model
    """
    from exante.workflows.publishing import merge_run

    moved = merge_run(model, output, dtype=dtype.value)
    echo(f"{output}: whole weights; no token's log-prob moved by more than {moved:.1e} nats")
