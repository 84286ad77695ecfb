"""`exante diff`: what differs between two runs, and where it began."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exante.cli.options import AsJson
from exante.cli.terminal import echo

if TYPE_CHECKING:
    from exante.stages.differences import RunDifference, StepDifference

_WHY = {
    "settings": "asked for something else",
    "inputs": "stands on steps that differ",
    "content": "asked for the same, another result",
}
_MOST_CHANGES = 8


def diff(
    left: Annotated[Path, typer.Argument(help="A run folder, or the folder of one step.")],
    right: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Say what differs between two runs, from settings down to the first row that does.

    Exit code 0: nothing; 1: something. Measured times are not compared.

    Example: exante diff runs/monday runs/tuesday
    """
    from exante.stages.differences import differences

    found = differences(left, right)
    if as_json:
        echo(found.model_dump_json())
    else:
        _tell(found)
    if found.steps:
        raise typer.Exit(1)


def _tell(found: RunDifference) -> None:
    if not found.steps:
        echo(f"{found.left} and {found.right}: {found.same} steps, nothing differs")
    for step in found.steps:
        if step.kind != "missing":
            _tell_step(step)
    for run, without in ((found.left, "right"), (found.right, "left")):
        names = [s.step for s in found.steps if s.kind == "missing" and s.missing_in == without]
        if names:
            echo(f"only in {run}: {', '.join(names)}")
    if found.steps:
        echo(f"{len(found.steps)} steps differ, {found.same} do not")
    if found.not_compared:
        echo(f"not compared, since they hold times: {', '.join(found.not_compared)}")


def _tell_step(step: StepDifference) -> None:
    echo(f"{step.step} ({step.stage}): {_WHY[step.kind]}")
    for change in step.changes[:_MOST_CHANGES]:
        echo(f"  {change.place}: {change.left} | {change.right}")
    more = len(step.changes) - _MOST_CHANGES
    if more > 0:
        echo(f"  and {more} more")
    for change in step.made_with:
        echo(f"  made with {change.place} {change.left} | {change.right}")
    if step.kind == "inputs" and not step.changes:
        echo("  its own content is the same")
