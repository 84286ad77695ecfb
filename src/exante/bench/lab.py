"""Shared by all comparisons: data prepared once per spec, and blocks of interleaved runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from exante.bench.launch import Data, Launcher
from exante.bench.measure import ORDER, Side, ratio_of_means, ratio_of_rates
from exante.bench.request import Arm, GemmRates, Memory, Prepared, Setup, Trained, TrlSettings
from exante.bench.spec import Allocator, TrainingSpec
from exante.errors import RunError

Setting = TypeVar("Setting")
Run = TypeVar("Run")

OWN_ALLOCATOR: Allocator = "kept"
"""What exante sets for itself whenever it trains."""


@dataclass
class Lab:
    """Where arms are run; `work` holds weights and pairs and is deleted afterwards."""

    launcher: Launcher
    work: Path
    prepared: dict[str, tuple[Data, Prepared]] = field(default_factory=dict)
    latest: Trained | None = None
    """The training that ended last."""

    def data(self, spec: TrainingSpec, name: str) -> Data:
        """Weights and pairs of the spec, made when they are asked for first."""
        key = spec.model_dump_json()
        if key not in self.prepared:
            place = self.work / f"data-{len(self.prepared)}"
            place.mkdir(parents=True)
            shape = spec.shape
            weights = f"model-{shape.layers}-{shape.hidden}-{shape.vocabulary}-{spec.seed}"
            data = Data(spec, self.work / weights, place / "pairs.jsonl")
            setup = plain_setup(spec)
            answer = self.launcher.run("prepare", name, data, setup, Prepared)
            self.prepared[key] = data, answer
        return self.prepared[key][0]

    def train(self, name: str, data: Data, setup: Setup, weights: Path | None = None) -> Trained:
        """One training: TRL's if the setup has settings for it, else ours."""
        arm: Arm = "exante" if setup.trl is None else "trl"
        self.latest = self.launcher.run(arm, name, data, setup, Trained, weights)
        return self.latest

    def block(self, name: str, data: Data, ours: Setup, theirs: Setup) -> Block:
        """Ours, theirs, theirs, ours, each in a fresh process."""
        return Block(*interleaved(lambda setup: self.train(name, data, setup), ours, theirs))

    def gemm(self, name: str, data: Data) -> GemmRates:
        """The machine's rate on the shapes of a step, now."""
        return self.launcher.run("gemm", name, data, plain_setup(data.spec), GemmRates)


@dataclass(frozen=True, slots=True)
class Block:
    """Interleaved runs over the same batches."""

    ours: Sequence[Trained]
    theirs: Sequence[Trained]

    @property
    def speed(self) -> float:
        """Our pairs per second over theirs, reference excluded where it ran before training."""
        return ratio_of_rates(
            [(t.pairs, t.seconds) for t in self.ours], [(t.pairs, t.seconds) for t in self.theirs]
        )

    @property
    def speed_with_reference(self) -> float:
        """The same with each side's reference passes counted once per pair."""
        return ratio_of_rates(
            [(t.pairs, t.seconds + t.reference_seconds) for t in self.ours],
            [(t.pairs, t.seconds + t.reference_seconds) for t in self.theirs],
        )

    @property
    def loss_difference(self) -> float | None:
        """Largest difference of a step's loss; None where the batches were of different sizes."""
        mine, their = self.ours[0].losses, self.theirs[0].losses
        if self.ours[0].step_pairs != self.theirs[0].step_pairs:
            return None
        return max(abs(a - b) for a, b in zip(mine, their, strict=True))

    def memory(self, read: Callable[[Memory], int]) -> float:
        """Our bytes over theirs, of whatever `read` takes from a run's memory.

        Raises:
            RunError: a run took no memory that could be told from what the process had.
        """
        ours, theirs = ([read(t.memory) for t in runs] for runs in (self.ours, self.theirs))
        if min(*ours, *theirs) <= 0:
            raise RunError(
                f"training took {ours} and {theirs} bytes above the model: too few to compare",
                fix="measure memory at a larger preset",
            )
        return ratio_of_means(ours, theirs)


def interleaved(
    measured: Callable[[Setting], Run], ours: Setting, theirs: Setting
) -> tuple[list[Run], list[Run]]:
    """What each side's runs gave, ours first; they take turns in the order of a block."""
    found: dict[Side, list[Run]] = {"ours": [], "theirs": []}
    for side in ORDER:
        found[side].append(measured(ours if side == "ours" else theirs))
    return found["ours"], found["theirs"]


def plain_setup(spec: TrainingSpec, trl: TrlSettings | None = None) -> Setup:
    """The spec's own threads, precision and batches, with the allocator as exante sets it."""
    return Setup(
        threads=spec.threads,
        precision=spec.precision,
        pairs_per_batch=spec.batch_pairs,
        allocator=OWN_ALLOCATOR,
        trl=trl,
    )
