"""`exante bench`: exante beside its peers, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exante.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from exante.bench.spec import TrainingSpec
    from exante.bench.training import TrainingResult

bench_app = typer.Typer(no_args_is_help=True, help="Measure exante beside its peers.")


@bench_app.callback()
def _root() -> None:
    """Measure exante beside its peers."""


@bench_app.command()
def training(
    preset: Annotated[
        str | None, typer.Option(help="cpu, vocabulary, cuda or tiny; None: by device.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; None: the preset's.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of every process.")] = None,
    blocks: Annotated[int, typer.Option(help="Interleaved blocks per ratio.", min=1)] = 5,
    only: Annotated[
        str | None, typer.Option(help="Parts with commas between them; None: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Raw rows and logs go to a new folder in it.")
    ] = Path("runs/bench-training"),
) -> None:
    """Preference training beside TRL's DPOTrainer: equal work, checked before it is timed.

    Parts: parity, sweep, default, strongest, fp32, groups, memory, memory_at_128k.

    Example: exante bench training --preset cpu --only strongest,fp32 --json
    """
    from exante.bench.training import PARTS, bench_training

    result = bench_training(
        _spec(preset, device, threads),
        blocks=blocks,
        parts=only.split(",") if only else PARTS,
        output=output,
        say=lambda line: typer.echo(line, err=True),
    )
    if as_json:
        typer.echo(result.model_dump_json())
    else:
        _show(result)


def _spec(name: str | None, device: str | None, threads: int | None) -> TrainingSpec:
    from exante.bench.spec import preset

    if device not in (None, "cpu", "cuda"):
        raise InputError(f"unknown device {device!r}", where="--device", fix="known: cpu, cuda")
    spec = preset(name or device or "cpu")
    changes = {"device": device, "threads": threads}
    asked = {field: value for field, value in changes.items() if value is not None}
    if threads is not None and threads < 1:
        raise InputError("at least one thread", where="--threads")
    return spec.but(**asked)


def _show(result: TrainingResult) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if result.baseline_sweep:
        console.print("TRL's settings; * is the strongest of its precision\n", style="bold")
        console.print(_sweep_table(result))
        console.print()
    console.print("exante beside TRL, medians over blocks\n", style="bold")
    console.print(_ratio_table(result))
    console.print()
    for part, found in result.parity.items():
        console.print(
            f"parity, {part}: losses of {found.steps} steps within {found.loss_difference:.1e}, "
            f"weights within {found.weight_difference:.1e}"
        )
    for note in result.notes:
        console.print(f"note: {note}", style="dim")
    console.print(f"rows: {result.folder / 'runs.jsonl'}", soft_wrap=True)


def _sweep_table(result: TrainingResult) -> Table:
    table = _table("", "settings", "pairs/s", "MB")
    for row in result.baseline_sweep:
        speed = "failed" if row.pairs_per_second is None else f"{row.pairs_per_second:.1f}"
        memory = "" if row.memory_bytes is None else f"{row.memory_bytes / 1e6:.0f}"
        table.add_row("*" if row.strongest else "", row.name, speed, memory)
    return table


def _ratio_table(result: TrainingResult) -> Table:
    table = _table("", "ratio", "median", "95 % interval", "blocks")
    for name, value in result.ratios.items():
        if value is not None:
            bounds = result.intervals[name]
            interval = f"{bounds[0]:.2f} to {bounds[1]:.2f}" if bounds else "one block"
            table.add_row("", name, f"{value:.2f}", interval, str(len(result.pairs[name])))
    if result.share_of_floor is not None:
        count = str(len(result.floor["shares"]))
        table.add_row("", "share_of_floor", f"{result.share_of_floor:.2f}", "", count)
    return table


def _table(mark: str, name: str, *numbers: str) -> Table:
    from rich.table import Table

    # No borders: everything fits into the 80 columns of a plain terminal or a log.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(mark)
    table.add_column(name, overflow="fold")
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    return table
