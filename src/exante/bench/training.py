"""`exante bench training`: preference training beside TRL's DPOTrainer, gate first, then speed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from exante.bench import floor, measure, parity
from exante.bench.data import make_batches
from exante.bench.lab import Block, Lab, plain_setup
from exante.bench.launch import Data, Launcher, dated_folder
from exante.bench.parity import Parity
from exante.bench.request import Setup
from exante.bench.spec import Described, TrainingSpec
from exante.bench.sweep import Variant, as_installed, sweep
from exante.errors import InputError, unknown_name
from exante.records import write_json

PARTS = ("parity", "sweep", "default", "strongest", "fp32", "groups", "memory", "memory_at_128k")
"""What `--only` chooses from; parity is checked before anything else in any case."""
RATIOS = (
    "vs_trl_default",
    "vs_trl_strongest",
    "vs_trl_strongest_with_reference",
    "vs_trl_fp32",
    "groups_vs_trl_strongest",
    "memory_vs_trl_strongest",
    "memory_at_128k",
)
NOTES = (
    "speeds are exante's pairs per second over TRL's: higher is better",
    "memory is exante's bytes above the loaded model over TRL's: lower is better",
    "each ratio is a median over blocks of ours, theirs, theirs, ours on identical batches",
    "vs_trl_default: one thread; TRL computes its reference at every step, ours is the sampler's",
    "vs_trl_strongest, vs_trl_fp32, groups: reference excluded on both sides",
    "with_reference: TRL pays one pass over each pair, exante takes the sampler's log-probs: none",
)
_GROUP_RESPONSES = 4
_LARGE_VOCABULARY = 131_072


class TrainingResult(Described):
    """All that was found; what `--json` prints."""

    ratios: dict[str, float | None]
    """Medians over blocks; None where the part was not asked for."""
    intervals: dict[str, tuple[float, float] | None]
    """95 %, bootstrapped over blocks; None where there is one block."""
    pairs: dict[str, list[float]]
    """The ratio of each block."""
    share_of_floor: float | None
    """Seconds of the least arithmetic at the machine's own rate over our seconds."""
    floor: dict[str, Any]
    memory: dict[str, Any]
    loss_differences: dict[str, float | None]
    """Between the sides of each part's first timed block, at its precision; None: batches differ
    in size."""
    baseline_sweep: list[Variant]
    strongest: dict[str, str]
    parity: dict[str, Parity]
    weights: dict[str, str]
    machine: dict[str, Any]
    spec: TrainingSpec
    notes: tuple[str, ...] = NOTES
    seconds: float
    folder: Path


@dataclass
class _Found:
    """What has been measured so far."""

    blocks: dict[str, list[Block]] = field(default_factory=dict)
    shares: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    sweeps: dict[str, list[Variant]] = field(default_factory=dict)
    winners: dict[str, Setup] = field(default_factory=dict)
    parity: dict[str, Parity] = field(default_factory=dict)


def bench_training(
    spec: TrainingSpec,
    *,
    blocks: int,
    parts: Sequence[str],
    output: Path,
    say: Callable[[str], None],
) -> TrainingResult:
    """Measure the parts; rows, logs and the result go to a new folder inside `output`.

    Raises:
        InputError: a part is unknown, or TRL is not installed.
        RunError: an arm failed, or the sides do not compute the same.
    """
    for part in parts:
        if part not in PARTS:
            raise unknown_name("part", part, PARTS, where="--only")
    if find_spec("trl") is None:
        raise InputError(
            "TRL is not installed, and there is nothing to compare with",
            fix="pip install 'exante[dev]'",
        )
    start = time.monotonic()
    folder = dated_folder(output)
    lab = Lab(Launcher(folder, say), folder / "work")
    found = _Found()
    for part in dict.fromkeys(["plain", *(["groups"] if "groups" in parts else [])]):
        found.parity[part] = parity.check(lab, _with_responses(spec, part), f"parity, {part}")
    for part in PARTS:
        if part in parts:
            _MEASURES[part](lab, spec, blocks, found)
    result = _result(lab, spec, found, time.monotonic() - start)
    write_json(folder / "result.json", result.model_dump(mode="json"))
    shutil.rmtree(lab.work)
    return result


def _sweep(lab: Lab, spec: TrainingSpec, _: int, found: _Found) -> None:
    _winner(lab, lab.data(spec, "data"), found)


def _default(lab: Lab, spec: TrainingSpec, blocks: int, found: _Found) -> None:
    data = lab.data(spec, "data")
    threads = 1 if spec.device == "cpu" else spec.threads
    ours = plain_setup(spec).model_copy(update={"threads": threads})
    theirs = as_installed(data, threads)
    found.blocks["default"] = [lab.block("default", data, ours, theirs) for _ in range(blocks)]


def _strongest(lab: Lab, spec: TrainingSpec, blocks: int, found: _Found) -> None:
    data = lab.data(spec, "data")
    theirs = _winner(lab, data, found)
    work = floor.least_work(make_batches(spec)[spec.warmup :])
    flops = floor.step_flops(spec.shape, work)
    found.blocks["strongest"] = []
    for _ in range(blocks):
        rates = lab.gemm("floor", data)
        block = lab.block("strongest", data, _beside(spec, theirs), theirs)
        seconds = [run.seconds for run in block.ours]
        found.shares.append(flops / rates.rate / (sum(seconds) / len(seconds)))
        found.rates.append(rates.rate)
        found.blocks["strongest"].append(block)


def _fp32(lab: Lab, spec: TrainingSpec, blocks: int, found: _Found) -> None:
    plain = spec.but(precision="float32")
    data = lab.data(plain, "data fp32")
    theirs = _winner(lab, data, found)
    ours = _beside(plain, theirs)
    found.blocks["fp32"] = [lab.block("fp32", data, ours, theirs) for _ in range(blocks)]


def _groups(lab: Lab, spec: TrainingSpec, blocks: int, found: _Found) -> None:
    best = _winner(lab, lab.data(spec, "data"), found)
    grouped = _with_responses(spec, "groups")
    # Batches of groups are of whole groups; TRL's may still be larger or smaller, as it likes.
    size = max(1, round(best.pairs_per_batch / spec.batch_pairs * grouped.batch_pairs))
    theirs = best.model_copy(update={"pairs_per_batch": size})
    data, ours = lab.data(grouped, "data groups"), _beside(grouped, theirs)
    found.blocks["groups"] = [lab.block("groups", data, ours, theirs) for _ in range(blocks)]


def _memory(lab: Lab, spec: TrainingSpec, _: int, found: _Found) -> None:
    _compare_memory(lab, spec, spec, "memory", found)


def _memory_at_128k(lab: Lab, spec: TrainingSpec, _: int, found: _Found) -> None:
    shape = {**spec.shape.model_dump(), "vocabulary": _LARGE_VOCABULARY}
    few = {"batches": min(spec.batches, 4), "warmup": min(spec.warmup, 4)}
    _compare_memory(lab, spec, spec.but(shape=shape, **few), "memory_at_128k", found)


def _compare_memory(
    lab: Lab, spec: TrainingSpec, measured: TrainingSpec, name: str, found: _Found
) -> None:
    """One block with TRL's strongest settings, but in batches of the same size on both sides."""
    best = _winner(lab, lab.data(spec, "data"), found)
    theirs = best.model_copy(update={"pairs_per_batch": measured.batch_pairs})
    data = lab.data(measured, f"data {name}")
    found.blocks[name] = [lab.block(name, data, _beside(measured, theirs), theirs)]


_MEASURES: dict[str, Callable[[Lab, TrainingSpec, int, _Found], None]] = {
    "parity": lambda *_: None,
    "sweep": _sweep,
    "default": _default,
    "strongest": _strongest,
    "fp32": _fp32,
    "groups": _groups,
    "memory": _memory,
    "memory_at_128k": _memory_at_128k,
}


def _winner(lab: Lab, data: Data, found: _Found) -> Setup:
    """TRL's strongest setup in the data's precision; swept when it is asked for first."""
    precision = data.spec.precision
    if precision not in found.winners:
        found.sweeps[precision], found.winners[precision] = sweep(lab, data)
        lab.launcher.say(f"    strongest: {found.winners[precision].name}")
    return found.winners[precision]


def _beside(spec: TrainingSpec, theirs: Setup) -> Setup:
    """Our setup beside tuned TRL: the spec's threads and batches, the allocator that suits TRL."""
    return plain_setup(spec).model_copy(update={"allocator": theirs.allocator})


def _with_responses(spec: TrainingSpec, part: str) -> TrainingSpec:
    return spec.but(responses=_GROUP_RESPONSES) if part == "groups" else spec


def _result(lab: Lab, spec: TrainingSpec, found: _Found, seconds: float) -> TrainingResult:
    pairs = _block_ratios(found)
    machine: dict[str, Any] = {}
    if lab.latest is not None:
        machine = {**lab.latest.machine, "versions": lab.latest.versions}
    return TrainingResult(
        ratios={name: measure.middle(pairs[name]) if name in pairs else None for name in RATIOS},
        intervals={name: measure.median_interval(v, seed=spec.seed) for name, v in pairs.items()},
        pairs=pairs,
        share_of_floor=measure.middle(found.shares) if found.shares else None,
        floor={"shares": found.shares, "gemm_flops_per_second": found.rates},
        memory={
            name: _memory_details(found.blocks[name][0])
            for name in ("memory", "memory_at_128k")
            if name in found.blocks
        },
        loss_differences={part: b[0].loss_difference for part, b in found.blocks.items()},
        baseline_sweep=[row for rows in found.sweeps.values() for row in rows],
        strongest={precision: setup.name for precision, setup in found.winners.items()},
        parity=found.parity,
        weights={str(d.model.name): p.weights_hash for d, p in lab.prepared.values()},
        machine=machine,
        spec=spec,
        seconds=seconds,
        folder=lab.launcher.folder,
    )


def _block_ratios(found: _Found) -> dict[str, list[float]]:
    speeds = {
        "vs_trl_default": "default",
        "vs_trl_strongest": "strongest",
        "vs_trl_fp32": "fp32",
        "groups_vs_trl_strongest": "groups",
    }
    memories = {"memory_vs_trl_strongest": "memory", "memory_at_128k": "memory_at_128k"}
    blocks = found.blocks
    ratios = {
        name: [b.speed for b in blocks[part]] for name, part in speeds.items() if part in blocks
    }
    if "strongest" in blocks:
        name = "vs_trl_strongest_with_reference"
        ratios[name] = [b.speed_with_reference for b in blocks["strongest"]]
    for name, part in memories.items():
        if part in blocks:
            ratios[name] = [b.memory(lambda m: m.above_model) for b in blocks[part]]
    return ratios


def _memory_details(block: Block) -> dict[str, Any]:
    return {
        "activations_ratio": block.memory(lambda m: m.activations),
        "ours": [run.memory.model_dump() for run in block.ours],
        "theirs": [run.memory.model_dump() for run in block.theirs],
    }
