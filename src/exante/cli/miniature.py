"""`exante miniature`: the embedded world and its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exante.cli.options import Seed
from exante.cli.terminal import echo

miniature_app = typer.Typer(no_args_is_help=True, help="The embedded world and its base model.")


@miniature_app.command("build")
def miniature_build(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="None: into the package itself.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, to try things out.")] = None,
) -> None:
    """Train the embedded base model from nothing (about 25 minutes on two cores)."""
    from exante.cli.runs import build_miniature

    echo(build_miniature(output, steps))


@miniature_app.command("sample")
def miniature_sample(
    count: Annotated[int, typer.Option("--count", "-n", help="How many prompts.")] = 6,
    seed: Seed = 0,
) -> None:
    """Show prompts of the embedded world and what its base model answers."""
    from exante.cli.talk import show_miniature

    show_miniature(count, seed)
