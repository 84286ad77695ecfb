"""`exante bench plan` and `exante bench points`: what a large run costs, and what that rests on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exante.cli.terminal import echo
from exante.errors import InputError, unknown_name

if TYPE_CHECKING:
    from exante.bench.scale import Gpu, Load
    from exante.bench.spec import Shape
    from exante.models.footprint import Shape as Sizes

_NETWORK = 50e9
"""Bytes per second and GPU between machines: 400 Gbit/s."""


def plan(
    model: Annotated[
        str, typer.Argument(help="8b, 70b, a hub id, or a model's folder or config.json.")
    ],
    gpu: Annotated[str, typer.Option(help="h100 or h200.")] = "h100",
    gpus: Annotated[int | None, typer.Option(help="None: the fewest that train it.", min=1)] = None,
    tokens: Annotated[
        int, typer.Option(help="Tokens of a process at once (train.batch_tokens).", min=1)
    ] = 8192,
    prompts: Annotated[int, typer.Option(help="Training prompts.", min=1)] = 10_000,
    price: Annotated[float | None, typer.Option(help="Of one GPU for one hour.", min=0)] = None,
) -> None:
    """Memory, time and cost of each stage of ERPO for a model, on paper.

    Example: exante bench plan 70b --gpu h100 --price 3
    """
    from exante.bench.scale import GPUS, SHAPES, Load, sizes

    if gpu not in GPUS:
        raise unknown_name("GPU", gpu, GPUS, where="--gpu")
    if model in SHAPES:
        shape, held = SHAPES[model], sizes(SHAPES[model])
    else:
        shape, held = _read(model)
    for line in planned(shape, held, GPUS[gpu], gpus, tokens, Load(prompts=prompts), price):
        echo(line)


def points() -> None:
    """Train small models here, and hold speed and memory against the plan's arithmetic.

    Example: exante bench points
    """
    from exante.bench.scale_points import measured

    echo("| parameters | tokens/s | GFLOP/s | share of products | MB | planned MB |")
    echo("|---:|---:|---:|---:|---:|---:|")
    for point in measured():
        known = point.bytes_measured
        memory = "unknown" if known is None else f"{known / 1e6:.0f}"
        echo(
            f"| {point.parameters / 1e6:.1f} M | {point.tokens_per_second:.0f} "
            f"| {point.flops_per_second / 1e9:.1f} | {point.share:.2f} | {memory} "
            f"| {point.bytes_planned / 1e6:.0f} |"
        )


def planned(
    shape: Shape,
    held: Sizes,
    gpu: Gpu,
    gpus: int | None,
    tokens: int,
    load: Load,
    price: float | None,
) -> Iterator[str]:
    """The plan as Markdown."""
    from exante.bench import scale

    count = gpus or scale.fewest_gpus(held, gpu, tokens)
    memory = scale.training_bytes(held, tokens, count)
    reached = scale.Reached()
    hidden = scale.tokens_that_hide_exchange(shape, gpu, _NETWORK, reached)
    yield f"- {scale.parameters(shape) / 1e9:.1f} billion parameters"
    each = "" if count == 1 else " on each"
    yield f"- training on {_gpus(count)}: {memory / 1e9:.0f} of {gpu.memory / 1e9:.0f} GB{each}"
    if count > 1:
        yield (
            f"- exchange between machines is hidden from {hidden:.0f} tokens of a process at once "
            f"(train.batch_tokens {tokens})"
        )
    saved = 4 * scale.parameters(shape) / 1e9
    yield f"- a checkpoint takes {3 * saved:.0f} GB, a saved model {saved:.0f} GB of disk"
    yield f"- the main process needs {saved:.0f} GB of its machine's memory to read and save one"
    yield f"- sampling: one copy on {_gpus(scale.replica(shape, gpu))}"
    yield ""
    yield "| stage | million tokens | exaFLOP | GPU-hours | hours on all |" + (
        "" if price is None else " cost |"
    )
    yield "|---|---:|---:|---:|---:|" + ("" if price is None else "---:|")
    guard = scale.SHAPES["8b"]
    costs = list(scale.plan(shape, guard, load, gpu, reached, recomputed=count > 1))
    total = scale.Cost(
        "all", *(sum(getattr(c, f.name) for c in costs) for f in fields(costs[0])[1:])
    )
    for cost in (*costs, total):
        yield (
            f"| {cost.stage} | {cost.tokens / 1e6:.1f} | {cost.flops / 1e18:.2f} "
            f"| {cost.hours:.1f} | {cost.hours / count:.2f} |"
        ) + ("" if price is None else f" {cost.hours * price:.0f} |")


def _gpus(count: int) -> str:
    return "one GPU" if count == 1 else f"{count} GPUs"


def _read(model: str) -> tuple[Shape, Sizes]:
    """What arithmetic and what memory depends on, of a model's config."""
    from exante.bench.scale import shape_of
    from exante.models.folders import resolve
    from exante.models.shapes import shape_in

    path = Path(model).expanduser()
    path = path if path.is_file() else resolve(model, weights=False) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return shape_of(config, where=str(path)), shape_in(config)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"cannot be read: {error}", where=model, fix="8b, 70b, a hub id, or a model's folder"
        ) from None
