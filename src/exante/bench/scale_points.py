"""Small trainings on this machine, each in its own process, to hold the plan on paper against."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from exante.bench.floor import Work
from exante.bench.scale import parameters, rows_work, sizes, training_flops
from exante.bench.spec import Shape
from exante.bench.weights import save_random_model
from exante.models.footprint import training
from exante.models.memory import status_bytes, tune_memory
from exante.training import TokenRow, TrainSettings, fit_tokens

POINTS = (
    Shape(layers=4, hidden=256, heads=4, key_value_heads=4, intermediate=688, vocabulary=4096),
    Shape(layers=8, hidden=512, heads=8, key_value_heads=4, intermediate=1376, vocabulary=8192),
    Shape(layers=8, hidden=768, heads=12, key_value_heads=4, intermediate=2048, vocabulary=16384),
)
"""From 4 to 62 million parameters: what trains in seconds on two cores."""
_PROMPT, _RESPONSE = 64, 193
_ROWS_TOGETHER, _BATCHES = 8, 4
_TRIES = 9


@dataclass(frozen=True, slots=True)
class Point:
    """One training, measured and planned."""

    parameters: int
    tokens_per_second: float
    flops_per_second: float
    """Of the arithmetic that is counted on paper."""
    share: float
    """Of the rate of products, measured in the same process."""
    bytes_measured: int | None
    """Most memory above the imported libraries; None where the system does not tell."""
    bytes_planned: float


def measured() -> Iterator[Point]:
    """A point per shape, float32, layers uncompiled, attention fused."""
    for shape in POINTS:
        # Memory is that of a process: a new one for each, and none that was forked.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            yield pool.submit(_point, shape).result()


def _point(shape: Shape) -> Point:
    tune_memory()
    before = status_bytes("VmRSS")
    dice = torch.Generator().manual_seed(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(4, shape.vocabulary, (count,), generator=dice).tolist())

    with TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        save_random_model(model, shape, seed=0)
        rows = [
            TokenRow(f"{n}", ids(_PROMPT), (*ids(_RESPONSE - 1), 1))
            for n in range(_ROWS_TOGETHER * _BATCHES)
        ]
        settings = TrainSettings(
            epochs=2,
            batch_size=_ROWS_TOGETHER,
            precision="float32",
            attention="sdpa",
            compile="off",
            max_length=None,
        )
        stamps: list[float] = []
        summary = fit_tokens(
            rows,
            policy=model,
            out=Path(folder) / "out",
            settings=settings,
            on_step=lambda *_: stamps.append(time.monotonic()),
        )
    seconds = statistics.median(
        later - earlier for earlier, later in zip(stamps[1:], stamps[2:], strict=False)
    )
    work = rows_work(_ROWS_TOGETHER, _PROMPT, _RESPONSE)
    flops = training_flops(shape, work, recomputed=False)
    return Point(
        parameters=parameters(shape),
        tokens_per_second=work.run / seconds,
        flops_per_second=flops / seconds,
        share=flops / seconds / _products_rate(shape, work),
        bytes_measured=None if summary.peak_bytes is None else summary.peak_bytes - before,
        bytes_planned=training(sizes(shape), "cpu", tokens=int(work.run)).total,
    )


def _products_rate(shape: Shape, work: Work) -> float:
    """FLOPs per second of the feed-forward product, alone."""
    rows = int(work.run)
    left, right = torch.randn(rows, shape.hidden), torch.randn(shape.hidden, shape.intermediate)
    seconds = []
    for _ in range(_TRIES):
        start = time.monotonic()
        left @ right
        seconds.append(time.monotonic() - start)
    return 2 * rows * shape.hidden * shape.intermediate / statistics.median(seconds)
