"""`exante bench sampling` and `inference`: beside `generate` of transformers, gate first."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exante.bench import agreement, measure
from exante.bench.agreement import Agreement
from exante.bench.launch import Launcher, dated_folder
from exante.bench.sampling_lab import Samples, SamplingLab, as_called_first, own_setup
from exante.bench.sampling_request import SampleSetup
from exante.bench.sampling_spec import SamplingSpec, Workload
from exante.bench.sampling_sweep import SamplingVariant, sweep
from exante.bench.spec import Described
from exante.errors import unknown_name
from exante.records import write_json


@dataclass(frozen=True, slots=True)
class Comparison:
    """One part of a benchmark: a ratio on a workload."""

    ratio: str
    workload: Workload
    tuned: bool = True
    """Is the other side the sweep's winner? Else it is `generate` as one calls it first."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What one command measures."""

    comparisons: dict[str, Comparison]
    """By the name that `--only` knows."""
    notes: tuple[str, ...]


ALWAYS = ("gate", "sweep")
"""What `--only` may name besides; the gate is checked before anything else in any case."""
_NOTES = (
    "speeds are exante's accepted tokens per second over generate's: higher is better",
    "ends of turns count as tokens, padding never does; loading and a warm-up are not timed",
    "each ratio is a median over blocks of ours, theirs, theirs, ours on the same prompts",
    "exante's seconds include the log-prob of every token; generate returns none",
    "the gate is held in float32, whatever precision is timed",
)
SAMPLING = Benchmark(
    {
        "default": Comparison("vs_generate_default", "equal", tuned=False),
        "equal": Comparison("vs_generate", "equal"),
        "natural": Comparison("vs_generate_natural", "natural"),
    },
    (
        *_NOTES,
        "vs_generate: random model, every turn of the same length",
        "vs_generate_natural: the embedded miniature, every turn until its own end",
        "vs_generate_default: as vs_generate, beside generate as one calls it first; the others: "
        "beside the strongest settings of the sweep",
    ),
)
"""`exante bench sampling`: many turns per prompt."""
INFERENCE = Benchmark(
    {"single": Comparison("vs_generate_single", "single")},
    (*_NOTES, "vs_generate_single: the embedded miniature, greedy, one prompt at a time"),
)
"""`exante bench inference`: one greedy turn at a time."""


class SamplingResult(Described):
    """All that was found; what `--json` prints."""

    ratios: dict[str, float | None]
    """Medians over blocks; None where the part was not asked for."""
    intervals: dict[str, tuple[float, float] | None]
    """95 %, bootstrapped over blocks; None where there is one block."""
    pairs: dict[str, list[float]]
    """The ratio of each block."""
    blocks: dict[str, list[dict[str, list[tuple[int, float]]]]]
    """Tokens and seconds of each run of each block, by side."""
    tokens_per_second: dict[str, dict[str, float]]
    """Of each ratio's sides, over all blocks."""
    baseline_sweep: list[SamplingVariant]
    strongest: dict[str, str]
    gate: dict[str, Agreement]
    weights: dict[str, str]
    machine: dict[str, Any]
    spec: SamplingSpec
    notes: tuple[str, ...]
    seconds: float
    folder: Path


@dataclass
class _Found:
    """What has been measured so far."""

    blocks: dict[str, list[Samples]] = field(default_factory=dict)
    sweeps: dict[Workload, list[SamplingVariant]] = field(default_factory=dict)
    winners: dict[Workload, SampleSetup] = field(default_factory=dict)
    gate: dict[str, Agreement] = field(default_factory=dict)


def bench_sampling(
    what: Benchmark,
    spec: SamplingSpec,
    *,
    blocks: int,
    only: Sequence[str] | None,
    output: Path,
    say: Callable[[str], None],
) -> SamplingResult:
    """Measure; rows, logs and the result go to a new folder inside `output`.

    Raises:
        InputError: a part of `only` is unknown.
        RunError: an arm failed, or the sides do not sample the same.
    """
    known = what.comparisons
    for part in only or ():
        if part not in (*ALWAYS, *known):
            raise unknown_name("part", part, (*ALWAYS, *known), where="--only")
    asked = [known[part] for part in known if only is None or part in only]
    # The gate or the sweep alone are of all workloads.
    workloads = dict.fromkeys(c.workload for c in (asked or known.values()))
    start = time.monotonic()
    folder = dated_folder(output)
    lab, found = SamplingLab(Launcher(folder, say), folder / "work", spec), _Found()
    for workload in workloads:
        found.gate[workload] = agreement.check(lab, lab.prompts(workload))
    if only is None or "sweep" in only:
        for workload in workloads:
            _winner(lab, workload, found)
    for comparison in asked:
        _measure(lab, comparison, blocks, found)
    result = _result(what, lab, found, time.monotonic() - start)
    write_json(folder / "result.json", result.model_dump(mode="json"))
    shutil.rmtree(lab.work)
    return result


def _measure(lab: SamplingLab, comparison: Comparison, blocks: int, found: _Found) -> None:
    prompts, ours = lab.prompts(comparison.workload), own_setup(lab.spec)
    theirs = as_called_first(lab.spec, comparison.workload)
    if comparison.tuned:
        theirs = _winner(lab, comparison.workload, found)
        # Beside a tuned baseline, the allocator is the one that suits it.
        ours = own_setup(lab.spec, allocator=theirs.allocator)
    found.blocks[comparison.ratio] = [
        lab.block(comparison.ratio, prompts, ours, theirs) for _ in range(blocks)
    ]


def _winner(lab: SamplingLab, workload: Workload, found: _Found) -> SampleSetup:
    """The strongest setup of `generate` on the workload; swept when it is asked for first."""
    if workload not in found.winners:
        found.sweeps[workload], found.winners[workload] = sweep(lab, lab.prompts(workload))
        lab.launcher.say(f"    strongest: {found.winners[workload].name}")
    return found.winners[workload]


def _result(what: Benchmark, lab: SamplingLab, found: _Found, seconds: float) -> SamplingResult:
    pairs = {ratio: [b.speed for b in blocks] for ratio, blocks in found.blocks.items()}
    names = [comparison.ratio for comparison in what.comparisons.values()]
    machine: dict[str, Any] = {}
    if lab.latest is not None:
        machine = {**lab.latest.machine, "versions": lab.latest.versions}
    return SamplingResult(
        ratios={name: measure.middle(pairs[name]) if name in pairs else None for name in names},
        intervals={n: measure.median_interval(v, seed=lab.spec.seed) for n, v in pairs.items()},
        pairs=pairs,
        blocks={ratio: [b.raw() for b in blocks] for ratio, blocks in found.blocks.items()},
        tokens_per_second={ratio: _rates(blocks) for ratio, blocks in found.blocks.items()},
        baseline_sweep=[row for rows in found.sweeps.values() for row in rows],
        strongest={workload: setup.name for workload, setup in found.winners.items()},
        gate=found.gate,
        weights={workload: made.weights_hash for workload, (_, made) in lab.prepared.items()},
        machine=machine,
        spec=lab.spec,
        notes=what.notes,
        seconds=seconds,
        folder=lab.launcher.folder,
    )


def _rates(blocks: Sequence[Samples]) -> dict[str, float]:
    sides = {
        "ours": [run for block in blocks for run in block.ours],
        "theirs": [run for block in blocks for run in block.theirs],
    }
    return {
        side: sum(run.tokens for run in runs) / sum(run.seconds for run in runs)
        for side, runs in sides.items()
    }
