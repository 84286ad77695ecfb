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
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps, to try things out.", min=1)
    ] = None,
) -> None:
    """Train the embedded base model from nothing (about 25 minutes on two cores).

    Example: exante miniature build -o my-base --steps 100
    """
    from exante.cli.progress import ProgressListener
    from exante.miniature.build import BuildSettings, build
    from exante.models.folders import resolve
    from exante.models.memory import tune_memory

    tune_memory()
    target = output or resolve("miniature")
    settings = BuildSettings(steps=steps) if steps else BuildSettings()
    with ProgressListener() as listener:
        listener.started("miniature", "build")
        digest = build(
            target,
            settings,
            lambda step, total, loss: listener.progress(step, total, f"loss {loss:.3f}"),
            over=output is None,
        )
    echo(f"{target}: sha256 {digest}")


@miniature_app.command("sample")
def miniature_sample(
    count: Annotated[int, typer.Option("--count", "-n", help="How many prompts.", min=1)] = 6,
    seed: Seed = 0,
) -> None:
    """Show prompts of the embedded world and what its base model answers.

    Example: exante miniature sample --count 3
    """
    from exante.cli.talk import show_miniature

    show_miniature(count, seed)
