"""The end of every training arm: the same numbers about weights, losses and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import save_file

from exante.bench import meter as meters
from exante.bench.data import cut, tokens
from exante.bench.meter import Meter
from exante.bench.request import Request, Trained
from exante.errors import RunError
from exante.records import Pair, read_jsonl


def batches_of(request: Request) -> tuple[list[list[Pair]], int]:
    """The batches that the request's arm gets, and how many of them are warm-up."""
    pairs = read_jsonl(request.pairs, Pair)
    return cut(pairs, request.spec, request.setup.pairs_per_batch)


def trained(
    request: Request,
    model: Any,
    meter: Meter,
    losses: Sequence[float],
    reference_seconds: float = 0.0,
) -> Trained:
    """The arm's answer; `losses` holds every step's, warm-up included.

    Raises:
        RunError: the arm did not run every batch exactly once.
    """
    memory = meter.memory()
    batches, warmup = batches_of(request)
    timed = [pair for batch in batches[warmup:] for pair in batch]
    if len(losses) != len(batches) or len(meter.step_seconds) != len(batches) - warmup:
        raise RunError(
            f"{len(losses)} losses and {len(meter.step_seconds)} timed steps for {len(batches)} "
            f"batches, of which {warmup} are warm-up",
            where=request.name,
        )
    weights = {name: p.detach().float().cpu() for name, p in model.named_parameters()}
    if request.weights is not None:
        save_file({name: w.contiguous() for name, w in weights.items()}, request.weights)
    return Trained(
        step_seconds=meter.step_seconds,
        losses=list(losses),
        pairs=len(timed),
        step_pairs=request.setup.pairs_per_batch,
        tokens=tokens(timed),
        reference_seconds=reference_seconds,
        weights_norm=sum(float(w.double().square().sum()) for w in weights.values()) ** 0.5,
        weights_sums={name: float(w.double().sum()) for name, w in weights.items()},
        memory=memory,
        versions=meters.versions(),
        machine=meters.machine(request.spec.device),
    )


def stacked(losses: Sequence[torch.Tensor]) -> list[float]:
    """Losses as floats: read once at the end, so that no step waits for its own."""
    return [float(value) for value in torch.stack([loss.float() for loss in losses]).cpu()]
