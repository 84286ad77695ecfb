"""`exante repair`: what is damaged in a run, moved out of the way of the command that made it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exante.cli.options import AsJson
from exante.cli.terminal import echo

if TYPE_CHECKING:
    from exante.stages.repair import RunState, StepState

_MOST = 4
"""Files named per step."""


def repair(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    check: Annotated[bool, typer.Option("--check", help="Move nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read every file of a run; move damaged steps aside, so that they are made again.

    Nothing is deleted: they go to RUN/damaged. Then give the command of the run again. Exit code 1
    if anything is damaged and was left as it is.

    Example: exante repair runs/mine --check
    """
    from exante.stages.repair import examined, set_aside

    found = examined(run) if check else set_aside(run)
    if as_json:
        echo(found.model_dump_json())
    else:
        _tell(found, check=check)
    if found.of("outside") or len(found.of("damaged")) > len(found.moved):
        raise typer.Exit(1)


def _tell(found: RunState, *, check: bool) -> None:
    for step in found.of("damaged", "outside"):
        echo(_line(step))
        if step.step in found.moved:
            echo(f"  moved to {found.moved[step.step]}")
    unknown = found.of("unlisted")
    if unknown:
        names = ", ".join(step.step for step in unknown)
        echo(f"{len(unknown)} steps were made before files were listed; not known: {names}")
    bad = len(found.of("damaged"))
    echo(f"{bad} of {len(found.steps)} steps damaged, {len(found.of('whole'))} whole")
    if found.moved:
        echo("give the command of this run again: it makes what was moved, and no more")
    elif bad and check:
        echo(f"exante repair {found.run} moves them aside, to be made again")
    if found.of("outside"):
        echo("put those models back as they were; nothing in this folder can mend them")


def _line(step: StepState) -> str:
    shown = ", ".join(step.because[:_MOST])
    more = len(step.because) - _MOST
    return f"{step.step}: {shown}" + (f" and {more} more" if more > 0 else "")
