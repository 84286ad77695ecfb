"""The gate before every speed number: both sides compute the same, or there is none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from exante.bench.lab import Lab, plain_setup
from exante.bench.request import TrlSettings
from exante.bench.spec import Described, TrainingSpec
from exante.errors import RunError

STEPS = 20
LOSS_TOLERANCE = 1e-4
WEIGHT_TOLERANCE = 1e-4
MOVE_TOLERANCE = 2e-2
_PAIRS = 8
"""Pairs per step; equality does not need more."""


class Parity(Described):
    """How far both sides are from each other after training on the same batches in float32."""

    steps: int
    loss_difference: float
    """Largest absolute difference of a step's loss."""
    loss_moved: float
    """Largest distance of a loss from its value at the start, ln 2: equality means something."""
    weight_difference: float
    """Norm of the difference of final weights over their norm."""
    move_difference: float
    """The same over how far the weights moved."""
    losses: list[float]
    their_losses: list[float]


def check(lab: Lab, spec: TrainingSpec, name: str) -> Parity:
    """Train both sides for 20 steps in float32.

    Raises:
        RunError: losses or final weights differ; speed is not worth measuring then.
    """
    small = spec.but(
        precision="float32",
        batches=STEPS,
        warmup=0,
        pairs_per_batch=min(_PAIRS, spec.pairs_per_batch),
    )
    data = lab.data(small, name)
    files = lab.work / "ours.safetensors", lab.work / "theirs.safetensors"
    trl = TrlSettings(gradient_checkpointing=False, precompute_reference=True, quiet=True)
    ours = lab.train(name, data, plain_setup(small), files[0])
    theirs = lab.train(name, data, plain_setup(small, trl), files[1])
    apart, moved, size = _distances(data.model, *files)
    found = Parity(
        steps=len(ours.losses),
        loss_difference=max(abs(a - b) for a, b in zip(ours.losses, theirs.losses, strict=True)),
        loss_moved=max(abs(loss - math.log(2)) for loss in theirs.losses),
        weight_difference=apart / size,
        move_difference=apart / moved,
        losses=ours.losses,
        their_losses=theirs.losses,
    )
    _gate(found, name)
    return found


def _gate(found: Parity, name: str) -> None:
    # Written so that a value that is no number fails, too.
    checks = (
        (found.loss_difference <= LOSS_TOLERANCE, f"losses differ by {found.loss_difference:.2g}"),
        (
            found.weight_difference <= WEIGHT_TOLERANCE and found.move_difference <= MOVE_TOLERANCE,
            f"final weights differ by {found.weight_difference:.2g} of their norm, "
            f"{found.move_difference:.2g} of their move",
        ),
        (
            found.loss_moved >= 10 * LOSS_TOLERANCE,
            f"losses moved by {found.loss_moved:.2g} only, so equal ones prove nothing",
        ),
    )
    wrong = [message for held, message in checks if not held]
    if wrong:
        raise RunError(
            f"exante and TRL do not compute the same: {'; '.join(wrong)}",
            where=name,
            fix="no speed is measured before they agree; their losses are in runs.jsonl",
        )


def _distances(start: Path, ours: Path, theirs: Path) -> tuple[float, float, float]:
    """Norms of ours minus theirs, of theirs minus the start, of theirs."""
    first = {k: v for path in start.glob("*.safetensors") for k, v in load_file(path).items()}
    mine, their = load_file(ours), load_file(theirs)
    if mine.keys() != their.keys():
        raise RunError("the arms trained different parameters", where=str(ours))
    sums = np.zeros(3)
    for name, end in their.items():
        parts = (mine[name] - end, end - first[name], end)
        sums += [float(np.square(part, dtype=np.float64).sum()) for part in parts]
    apart, moved, size = np.sqrt(sums)
    return float(apart), float(moved), float(size)
