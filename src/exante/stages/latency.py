"""Times a model against its base on one mixed workload: same sampler, paired, interleaved."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from exante.errors import InputError
from exante.estimates import Estimate, ratio_of_totals
from exante.models.chat import Chat
from exante.models.devices import sampling_dtype
from exante.models.load import load_chat, load_model
from exante.models.sample import SamplingSettings, sample
from exante.records import Example, Record, read_jsonl, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of
from exante.stages.prompts import Split, examples_of
from exante.stages.sample import request_of
from exante.traces import Start

TIMINGS = "timings.jsonl"


class LatencyConfig(Config):
    """What is timed, and how often."""

    split: Split = "test"
    """Split of the prompts; ignored for prompts that have only one list."""
    count: int = Field(default=40, ge=4)
    """Prompts of the workload."""
    benign_share: float = Field(default=0.9, gt=0, le=1)
    """Share of them that is plainly benign; the rest asks for harm."""
    repeats: int = Field(default=3, ge=1)
    """Timings of each prompt and model; the median counts."""
    max_new_tokens: int = Field(default=192, ge=1)
    """Longest turn."""
    trace: Start = "open"
    """How the aligned model is started; the base always starts freely."""
    seed: int = 0
    """Chooses the prompts."""


class Timing(Record):
    """Median wall time of one prompt under both models, one prompt at a time."""

    example_id: str
    kind: str
    base_seconds: float
    seconds: float
    base_tokens: int
    tokens: int


def run(config: LatencyConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write one timing per prompt, and the overhead as a ratio of totals minus one."""
    examples = _workload(examples_of(inputs.one("prompts"), config.split), config)
    if not examples:
        raise InputError(
            "no plain benign or harmful prompts to time",
            where=str(inputs.one("prompts")),
            fix="give more prompts, or drop the latency step from the recipe",
        )
    base = _Runner(model_of(inputs.one("base")), "free", config)
    aligned = _Runner(model_of(inputs.one("policy")), config.trace, config)
    for runner in (base, aligned):  # the first turn of a process is slower
        runner.time(examples[0])
    timings: list[Timing] = []
    for done, example in enumerate(examples, start=1):
        pairs = [(base.time(example), aligned.time(example)) for _ in range(config.repeats)]
        timings.append(
            Timing(
                example_id=example.id,
                kind=example.kind,
                base_seconds=statistics.median(first.seconds for first, _ in pairs),
                seconds=statistics.median(second.seconds for _, second in pairs),
                base_tokens=pairs[0][0].tokens,
                tokens=pairs[0][1].tokens,
            )
        )
        tell(done, len(examples), "prompts")
    write_jsonl(out / TIMINGS, timings)
    return {"overhead": overhead(timings).model_dump(), "prompts": len(timings)}


def timings_of(folder: Path) -> list[Timing]:
    """What a latency stage measured."""
    return read_jsonl(folder / TIMINGS, Timing)


def overhead(timings: list[Timing]) -> Estimate:
    """Total time over the base's total time, minus one, with a paired bootstrap interval."""
    ratio = ratio_of_totals([t.seconds for t in timings], [t.base_seconds for t in timings])
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return ratio
    return Estimate(value=ratio.value - 1, low=ratio.low - 1, high=ratio.high - 1, n=ratio.n)


class _Timed(NamedTuple):
    """One turn."""

    seconds: float
    tokens: int


class _Runner:
    """One model, answering one prompt at a time."""

    def __init__(self, folder: Path, trace: Start, config: LatencyConfig) -> None:
        self.settings = SamplingSettings(max_new_tokens=config.max_new_tokens, batch_size=1)
        dtype = sampling_dtype(self.settings.precision)
        self.model: Any = load_model(folder, dtype=dtype)
        self.chat: Chat = load_chat(folder)
        self.trace = trace

    def time(self, example: Example) -> _Timed:
        request = request_of(example, self.chat, self.trace)
        start = time.perf_counter()
        (turn,) = sample(self.model, self.chat, [request], self.settings)
        return _Timed(time.perf_counter() - start, len(turn.token_ids))


def _workload(examples: list[Example], config: LatencyConfig) -> list[Example]:
    """Undisguised prompts, most of them benign, in a drawn order."""
    rng = random.Random(f"latency {config.seed}")
    plain = [e for e in examples if e.attack == "direct"]
    benign = [e for e in plain if e.kind == "benign"]
    harmful = [e for e in plain if e.kind == "harmful"]
    many = min(len(benign), round(config.count * config.benign_share))
    few = min(len(harmful), max(0, config.count - many))
    chosen = rng.sample(benign, many) + rng.sample(harmful, few)
    rng.shuffle(chosen)
    return chosen


STAGE = Stage("latency", 2, LatencyConfig, run, reads=("base", "policy", "prompts"))
