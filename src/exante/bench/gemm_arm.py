"""How fast the machine multiplies matrices of a step's own shapes, when it does nothing else."""

from __future__ import annotations

import time
from statistics import median

import torch
from torch import Tensor

from exante.bench.floor import PRODUCTS, Linear, least_work, linear_flops, linears
from exante.bench.meter import Meter, wait
from exante.bench.outcome import batches_of
from exante.bench.request import GemmRates, Request

_ROUNDS = 7
_ROUND_SECONDS = 0.02
"""Short products are repeated until a round takes this long."""


def run(request: Request, _: Meter) -> GemmRates:
    """FLOPs and seconds of all linear layers of a mean step, at each product's median rate.

    Forward, gradient of the input and gradient of the weight of each shape, at the mean number of
    rows of the timed batches, in the threads and precision of the request.
    """
    batches, warmup = batches_of(request)
    timed = batches[warmup:]
    work = least_work(timed)
    dtype = getattr(torch, request.setup.precision)
    flops, seconds, shapes = 0.0, 0.0, []
    for linear in linears(request.spec.shape):
        total = work.scored if linear.scored_only else work.run
        rows = max(1, round(total / len(timed)))
        mine = linear_flops(linear, work) / len(timed) / PRODUCTS
        for left, right in _products(linear, rows, dtype, request.spec.device):
            inner = left.shape[1]
            size = 2 * left.shape[0] * inner * right.shape[1]
            rate = size / _seconds(left, right)
            flops, seconds = flops + mine, seconds + mine / rate
            shapes.append([left.shape[0], inner, right.shape[1], linear.count, rate])
    return GemmRates(flops=flops, seconds=seconds, shapes=shapes)


def _products(
    linear: Linear, rows: int, dtype: torch.dtype, device: str
) -> list[tuple[Tensor, Tensor]]:
    """Operands of forward, gradient of the input, gradient of the weight, as torch lays them."""
    inputs = torch.randn(rows, linear.inner, dtype=dtype, device=device)
    weight = torch.randn(linear.columns, linear.inner, dtype=dtype, device=device)
    outputs = torch.randn(rows, linear.columns, dtype=dtype, device=device)
    return [(inputs, weight.T), (outputs, weight), (outputs.T, inputs)]


def _seconds(left: Tensor, right: Tensor) -> float:
    """Median seconds of one product."""
    out = left @ right
    once = _timed(left, right, out, 1)
    repeats = max(1, round(_ROUND_SECONDS / max(once, 1e-7)))
    return median(_timed(left, right, out, repeats) / repeats for _ in range(_ROUNDS))


def _timed(left: Tensor, right: Tensor, out: Tensor, repeats: int) -> float:
    wait(left.device.type)
    start = time.perf_counter()
    for _ in range(repeats):
        torch.mm(left, right, out=out)
    wait(left.device.type)
    return time.perf_counter() - start
