"""`exante bench`: exante beside its peers, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from exante.cli.options import AsJson, Changes
from exante.cli.scale import plan, points
from exante.cli.terminal import Screen, echo
from exante.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.table import Table

    from exante.bench.agreement import Agreement
    from exante.bench.chaos import ChaosResult
    from exante.bench.sampling import SamplingResult
    from exante.bench.sampling_spec import SamplingSpec
    from exante.bench.spec import TrainingSpec
    from exante.bench.training import TrainingResult

_SamplingPreset = Annotated[
    str | None, typer.Option("--preset", help="cpu, cuda or tiny; None: by device.")
]
_Device = Annotated[str | None, typer.Option(help="cpu or cuda; None: the preset's.")]
_Threads = Annotated[int | None, typer.Option(help="Threads of every process.")]
_Precision = Annotated[
    str | None, typer.Option(help="float32 or bfloat16 weights; None: the preset's.")
]
_Blocks = Annotated[int, typer.Option(help="Interleaved blocks per ratio.", min=1)]
_Only = Annotated[str | None, typer.Option(help="Parts with commas between them; None: all.")]
_Output = Annotated[
    Path, typer.Option("--output", "-o", help="Raw rows and logs go to a new folder in it.")
]

Result = TypeVar("Result", bound="BaseModel")

bench_app = typer.Typer(no_args_is_help=True, help="Measure exante beside its peers.")
bench_app.command()(plan)
bench_app.command()(points)


@bench_app.callback()
def _root() -> None:
    """Measure exante beside its peers."""


@bench_app.command()
def training(
    preset: Annotated[
        str | None, typer.Option(help="cpu, vocabulary, cuda or tiny; None: by device.")
    ] = None,
    device: _Device = None,
    threads: _Threads = None,
    blocks: _Blocks = 5,
    only: _Only = None,
    as_json: AsJson = False,
    output: _Output = Path("runs/bench-training"),
) -> None:
    """Preference training beside TRL's DPOTrainer: equal work, checked before it is timed.

    Parts: parity, sweep, default, strongest, fp32, groups, memory, memory_at_128k.

    Example: exante bench training --preset cpu --only strongest,fp32 --json
    """
    from exante.bench.training import PARTS, bench_training

    spec = _spec(preset, device, threads)
    parts = _parts(only) or PARTS
    result = bench_training(spec, blocks=blocks, parts=parts, output=output, say=_say)
    _finish(result, as_json, _show)


@bench_app.command()
def sampling(
    preset: _SamplingPreset = None,
    device: _Device = None,
    threads: _Threads = None,
    precision: _Precision = None,
    blocks: _Blocks = 5,
    only: _Only = None,
    as_json: AsJson = False,
    output: _Output = Path("runs/bench-sampling"),
) -> None:
    """Many turns per prompt beside transformers' generate: checked before it is timed.

    Parts: gate, sweep, default, equal, natural.

    Example: exante bench sampling --preset cpu --only equal --json
    """
    from exante.bench.sampling import SAMPLING, bench_sampling

    spec, parts = _sampling_spec(preset, device, threads, precision), _parts(only)
    result = bench_sampling(SAMPLING, spec, blocks=blocks, only=parts, output=output, say=_say)
    _finish(result, as_json, _show_sampling)


@bench_app.command()
def inference(
    preset: _SamplingPreset = None,
    device: _Device = None,
    threads: _Threads = None,
    precision: _Precision = None,
    blocks: _Blocks = 5,
    only: _Only = None,
    as_json: AsJson = False,
    output: _Output = Path("runs/bench-inference"),
) -> None:
    """One greedy turn at a time beside transformers' generate: checked before it is timed.

    Parts: gate, sweep, single.

    Example: exante bench inference --preset cpu --json
    """
    from exante.bench.sampling import INFERENCE, bench_sampling

    spec, parts = _sampling_spec(preset, device, threads, precision), _parts(only)
    result = bench_sampling(INFERENCE, spec, blocks=blocks, only=parts, output=output, say=_say)
    _finish(result, as_json, _show_sampling)


@bench_app.command()
def chaos(
    recipe: Annotated[str, typer.Argument(help="A recipe, or a recipe file.")] = "erpo",
    kills: Annotated[int, typer.Option(help="How often.", min=1)] = 50,
    mean_seconds: Annotated[
        float, typer.Option(help="Mean time a run works before it is killed.", min=0.01)
    ] = 6.0,
    seed: Annotated[int, typer.Option(help="Chooses the moments.")] = 0,
    children: Annotated[
        bool, typer.Option("--children", help="Every other kill hits one child process alone.")
    ] = False,
    accelerate: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="Run in several processes, as for align.")
    ] = None,
    changes: Changes = None,
    as_json: AsJson = False,
    output: _Output = Path("runs/bench-chaos"),
) -> None:
    """Kill `exante align` at random moments, give the same command again, compare what it made.

    Exit code 1 if a finished step was made again, or anything differs from an undisturbed run.

    Example: exante bench chaos --kills 50 --set refusal_sft.train.checkpoint_steps=20
    """
    from exante.bench.chaos import chaos as kill_and_compare

    sets = [word for change in changes or [] for word in ("--set", change)]
    sets += ["--accelerate", str(accelerate)] if accelerate else []
    result = kill_and_compare(
        [sys.executable, "-m", "exante", "align", recipe, *sets],
        output=output,
        kills=kills,
        mean_seconds=mean_seconds,
        seed=seed,
        say=_say,
        children=children,
    )
    _finish(result, as_json, _show_chaos)
    if not result.is_unharmed:
        raise typer.Exit(1)


def _show_chaos(result: ChaosResult) -> None:
    echo(
        f"{result.kills} kills, {result.of_children} of them of a child alone, in {result.passes} "
        f"runs of {result.steps} steps:"
    )
    for step, count in result.while_making.items():
        echo(f"  {count:4} {step}")
    echo(f"finished steps made again: {', '.join(result.redone) or 'none'}")
    echo(f"steps that differ: {', '.join(s.step for s in result.differing) or 'none'}")


def _parts(only: str | None) -> list[str] | None:
    return only.split(",") if only else None


def _say(line: str) -> None:
    echo(line, err=True)


def _finish(result: Result, as_json: bool, show: Callable[[Result], None]) -> None:
    if as_json:
        echo(result.model_dump_json())
    else:
        show(result)


def _spec(name: str | None, device: str | None, threads: int | None) -> TrainingSpec:
    from exante.bench.spec import PRESETS, preset

    return preset(name or device or "cpu", PRESETS).but(**_asked(device, threads))


def _sampling_spec(
    name: str | None, device: str | None, threads: int | None, precision: str | None
) -> SamplingSpec:
    from exante.bench.sampling_spec import PRESETS
    from exante.bench.spec import preset

    if precision not in (None, "float32", "bfloat16"):
        raise InputError(
            f"unknown precision {precision!r}", where="--precision", fix="known: float32, bfloat16"
        )
    asked = _asked(device, threads)
    if precision is not None:
        asked["precision"] = precision
    return preset(name or device or "cpu", PRESETS).but(**asked)


def _asked(device: str | None, threads: int | None) -> dict[str, Any]:
    """The fields of a spec that the command line changes."""
    if device not in (None, "cpu", "cuda"):
        raise InputError(f"unknown device {device!r}", where="--device", fix="known: cpu, cuda")
    if threads is not None and threads < 1:
        raise InputError("at least one thread", where="--threads")
    changes = {"device": device, "threads": threads}
    return {field: value for field, value in changes.items() if value is not None}


def _show(result: TrainingResult) -> None:
    console = Screen()
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


def _show_sampling(result: SamplingResult) -> None:
    console = Screen()
    if result.baseline_sweep:
        console.print("Settings of generate; * is the strongest of its workload\n", style="bold")
        console.print(_variants_table(result))
        console.print()
    if result.pairs:
        console.print("exante beside generate, medians over blocks\n", style="bold")
        console.print(_speed_table(result))
        console.print()
    for workload, found in result.gate.items():
        console.print(
            f"gate, {workload}: {found.greedy_equal} of {found.greedy_prompts} greedy turns equal, "
            f"log-probs within {found.logprob_difference:.1e} nats per token" + _distribution(found)
        )
    for note in result.notes:
        console.print(f"note: {note}", style="dim")
    console.print(f"rows: {result.folder / 'runs.jsonl'}", soft_wrap=True)


def _variants_table(result: SamplingResult) -> Table:
    table = _table("", "settings", "tokens/s")
    for row in result.baseline_sweep:
        speed = "failed" if row.tokens_per_second is None else f"{row.tokens_per_second:.0f}"
        table.add_row("*" if row.strongest else "", f"{row.workload}: {row.name}", speed)
    return table


def _distribution(found: Agreement) -> str:
    if found.tokens_per_turn is None or found.nats_errors is None:
        return ""
    ours, theirs = found.tokens_per_turn
    return (
        f", {ours:.1f} and {theirs:.1f} tokens per turn ({found.tokens_errors:.1f} standard "
        f"errors apart; their log-probs {found.nats_errors:.1f})"
    )


def _speed_table(result: SamplingResult) -> Table:
    table = _table("", "ratio", "median", "95 % interval", "blocks", "tokens/s", "generate")
    for name, ratios in result.pairs.items():
        rates = result.tokens_per_second[name]
        numbers = (f"{rates['ours']:.0f}", f"{rates['theirs']:.0f}")
        bounds = result.intervals[name]
        table.add_row(
            "", name, f"{result.ratios[name]:.2f}", _interval(bounds), str(len(ratios)), *numbers
        )
    return table


def _interval(bounds: tuple[float, float] | None) -> str:
    return f"{bounds[0]:.2f} to {bounds[1]:.2f}" if bounds else "one block"


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
            interval = _interval(result.intervals[name])
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


@bench_app.command()
def serve(
    model: Annotated[
        str, typer.Argument(help="A model folder, a run, or miniature.")
    ] = "miniature",
    requests: Annotated[int, typer.Option(help="How many requests.", min=20, max=100_000)] = 200,
    clients: Annotated[int, typer.Option(help="Clients at a time.", min=1, max=256)] = 8,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of a turn.", min=8)] = 48,
    rows: Annotated[int, typer.Option(help="Turns decoded together.", min=1)] = 4,
    queue: Annotated[int, typer.Option(help="Requests that may wait.", min=0)] = 2,
    as_json: AsJson = False,
) -> None:
    """A bounded load on a server of this machine: lost and mixed-up answers, 429s, memory.

    Example: exante bench serve --requests 1000 --clients 16
    """
    from exante.bench.serving import LoadSpec, load

    spec = LoadSpec(
        model=model,
        requests=requests,
        clients=clients,
        max_tokens=max_tokens,
        rows=rows,
        queue=queue,
    )
    found = load(spec)
    if as_json:
        echo(found.model_dump_json(indent=2))
        return
    mebibytes = ", ".join(f"{size / (1 << 20):.0f}" for size in found.resident_bytes)
    said = f"answered {found.answered}, mixed up {found.mixed_up}, lost {found.lost}"
    echo(f"{said}, turned away until the client gave up {found.given_up}")
    echo(f"different answers among those of {spec.prompts} prompts: {found.different}")
    echo(f"turned away and come back {found.turned_away} times")
    echo("seconds p50 {:.2f}, p95 {:.2f}, p99 {:.2f}".format(*found.seconds))
    echo(f"memory of the server, MiB, start to end: {mebibytes}")
    echo(
        f"taken in at SIGTERM {found.taken_at_shutdown}, finished {found.finished_at_shutdown}; "
        f"the server ended {'well' if found.ended_well else 'badly'}"
    )
