"""What a worker process is asked to do, and what it answers; JSON files on both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from exante.bench.spec import Allocator, Described, Precision, TrainingSpec

Arm = Literal[
    "prepare",
    "exante",
    "trl",
    "gemm",
    "sample_prepare",
    "sample_exante",
    "sample_generate",
    "sample_score",
]


class TrlSettings(Described):
    """What a sweep changes about TRL's DPOTrainer; the defaults are TRL's own."""

    gradient_checkpointing: bool = True
    precompute_reference: bool = False
    """Reference log-probs once before training, instead of a second forward pass per step."""
    attention: str = "sdpa"
    """An attention implementation of transformers."""
    compiled: bool = False
    """Is each decoder layer compiled, with dynamic shapes?"""
    quiet: bool = False
    """Never logs; TRL as installed does every ten steps."""


class Process(Described):
    """How a process runs, whatever it does."""

    threads: int
    precision: Precision
    allocator: Allocator

    @property
    def name(self) -> str:
        """One line for tables and messages."""
        return f"{self.precision}, {threads_named(self.threads)}, malloc {self.allocator}"


class Setup(Process):
    """How an arm's process trains."""

    pairs_per_batch: int
    """May differ from the spec's in a sweep: the same pairs in the same order, cut otherwise."""
    trl: TrlSettings | None = None

    @property
    def name(self) -> str:
        """One line for tables and messages."""
        parts = [self.precision, f"{self.pairs_per_batch} pairs", threads_named(self.threads)]
        if self.trl is not None:
            parts.append(self.trl.attention)
            parts += ["compiled"] if self.trl.compiled else []
            parts += ["checkpointing"] if self.trl.gradient_checkpointing else []
            parts += [] if self.trl.precompute_reference else ["reference each step"]
        return ", ".join([*parts, f"malloc {self.allocator}"])


class Job(Described):
    """What every process is told; those that train or sample are told more."""

    arm: Arm
    name: str
    """For messages: which comparison wants this."""
    setup: Process
    model: Path
    """Folder of the starting weights, which are a training's reference, too."""
    result: Path = Path("result.json")
    """Where the answer goes: the launcher gives each process its own folder."""


class Request(Job):
    """A training, or what is made or measured for one."""

    spec: TrainingSpec
    setup: Setup
    pairs: Path
    """JSON Lines of pairs: warm-up first, then what is timed; reference log-probs included."""
    weights: Path | None = None
    """Where the trained weights go (safetensors), if anybody asks for them."""


class Memory(Described):
    """Bytes of the process, or on CUDA of the device's tensors."""

    after_imports: int
    after_model: int
    peak: int
    """From the start of training on, if `peak_is_of_training`; else of the whole process."""
    peak_is_of_training: bool
    states: int
    """Gradients and the two moments of Adam, which both arms must hold."""

    @property
    def above_model(self) -> int:
        """What training took above the loaded model."""
        return self.peak - self.after_model

    @property
    def activations(self) -> int:
        """The same without gradients and optimizer states."""
        return self.above_model - self.states


class Trained(Described):
    """What one training did. Only the timed batches count for pairs, tokens and seconds."""

    step_seconds: list[float]
    """Wall clock of each timed step, batch and optimizer included; on CUDA only the sum counts."""
    losses: list[float]
    """Of all steps, warm-up included."""
    pairs: int
    step_pairs: int
    """Pairs of a full batch."""
    tokens: int
    """Prompt and both responses of every pair."""
    reference_seconds: float = 0.0
    """Forward passes of the reference for the timed pairs, where they ran before training."""
    weights_norm: float
    weights_sums: dict[str, float]
    memory: Memory
    versions: dict[str, str]
    machine: dict[str, str | int | float]

    @property
    def seconds(self) -> float:
        """All timed steps."""
        return sum(self.step_seconds)

    @property
    def pairs_per_second(self) -> float:
        """With the reference excluded, wherever it was computed before training."""
        return self.pairs / self.seconds


class Prepared(Described):
    """What was made for all arms."""

    weights_hash: str
    parameters: int
    pairs: int


class GemmRates(Described):
    """Matrix products of one step at their shapes."""

    flops: float
    seconds: float
    shapes: list[list[float]] = Field(default_factory=list)
    """Rows, inner, columns, products per step, FLOP per second."""

    @property
    def rate(self) -> float:
        """FLOP per second over all shapes, weighted by their FLOPs."""
        return self.flops / self.seconds


def threads_named(count: int) -> str:
    """The number with its unit."""
    return "1 thread" if count == 1 else f"{count} threads"
