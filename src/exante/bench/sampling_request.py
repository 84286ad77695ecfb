"""What a sampling process is asked to do, and what it answers; JSON files on both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from exante.bench.request import Job, Process, threads_named
from exante.bench.sampling_spec import Draw, SamplingSpec, Workload
from exante.bench.spec import Described
from exante.records import Record


class GenerateSettings(Described):
    """What a sweep changes about `generate` of transformers; the defaults are its own."""

    prompts_per_call: int
    """Prompts of one call; each has `n` rows. Continuous batching: prompts in flight at once."""
    by_length: bool = False
    """Are prompts of similar length put into one call? Else they come in their own order."""
    cache: Literal["dynamic", "static"] = "dynamic"
    attention: Literal["sdpa", "eager"] = "sdpa"
    continuous: bool = False
    """`generate_batch`, which lets rows enter and leave, instead of `generate`."""


class SampleSetup(Process):
    """How a sampling process runs."""

    generate: GenerateSettings | None = None
    """Settings of the other side; None: exante."""

    @property
    def name(self) -> str:
        """One line for tables and messages."""
        parts = [self.precision, threads_named(self.threads)]
        if self.generate is not None:
            settings = self.generate
            parts += [f"{settings.prompts_per_call} prompts"]
            parts += [] if settings.by_length else ["unsorted"]
            parts += ["continuous"] if settings.continuous else [settings.cache]
            parts.append(settings.attention)
        return ", ".join([*parts, f"malloc {self.allocator}"])


class SampleRequest(Job):
    """One process's work."""

    spec: SamplingSpec
    setup: SampleSetup
    workload: Workload
    draw: Draw
    prompts: Path
    """JSON Lines of `Prompt`."""
    first: int | None = None
    """How many of the prompts; None: all."""
    turns: Path | None = None
    """JSON Lines of `Turn`: where sampled turns go if anybody reads them, or what is scored."""


class Prompt(Record):
    """Token ids of one prompt, the same for both sides."""

    ids: tuple[int, ...]


class Turn(Record):
    """One sampled turn."""

    prompt: int
    """Its number in the file of prompts."""
    token_ids: tuple[int, ...]
    """The end of the turn included if it came; never padding."""
    logprobs: tuple[float, ...] | None = None
    """In nats; None: this side returns none."""


class PreparedPrompts(Described):
    """What was made for all arms of one workload."""

    model: Path
    """Folder of the weights that both sides load."""
    weights_hash: str
    prompts: int


class Drawn(Described):
    """What one side sampled, and how long it took without loading and warm-up."""

    seconds: float
    """Wall clock for all prompts."""
    tokens: int
    """Accepted tokens of all turns: ends of turns count, padding never does."""
    turns: int
    machine: dict[str, str | int | float]
    versions: dict[str, str]

    @property
    def tokens_per_second(self) -> float:
        """The measure of this benchmark."""
        return self.tokens / self.seconds


class Scored(Described):
    """Log-probs of turns by a forward pass."""

    sums: list[float]
    """Of each turn, in nats."""
