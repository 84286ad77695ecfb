"""Looking for TRL's strongest settings, so that the comparison is not with a weak baseline."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from exante.bench.lab import Lab, plain_setup
from exante.bench.launch import Data
from exante.bench.request import Setup, Trained, TrlSettings
from exante.bench.spec import Allocator, Described
from exante.errors import RunError

TUNED = TrlSettings(gradient_checkpointing=False, precompute_reference=True, quiet=True)
"""Where the sweep starts: the defaults that only cost time are off."""


class Variant(Described):
    """One row of the sweep."""

    name: str
    setup: Setup
    pairs_per_second: float | None
    """Reference excluded where it is computed before training; None: it failed."""
    pairs_per_second_with_reference: float | None
    memory_bytes: int | None
    """Above the loaded model, at this variant's own batch size."""
    strongest: bool = False
    failure: str | None = None


def as_installed(data: Data, threads: int) -> Setup:
    """TRL without any setting of ours but precision and work; glibc as it is."""
    return plain_setup(data.spec, TrlSettings()).model_copy(
        update={"threads": threads, "allocator": "default"}
    )


def sweep(lab: Lab, data: Data) -> tuple[list[Variant], Setup]:
    """Every variant tried on the data, and the setup with most pairs per second.

    Attention and compilation are crossed; allocator, batch size and threads are then varied around
    the best so far. Variants that fail stay in the table with their reason.

    Raises:
        RunError: no tuned variant ran.
    """
    label = f"sweep {data.spec.precision}"
    rows = [_tried(lab, label, data, as_installed(data, t)) for t in _threads(data)]
    tuned = [_tried(lab, label, data, setup) for setup in _layouts(data)]
    stages = (_allocators, _batch_sizes, _other_threads) if data.spec.sweep == "full" else ()
    for stage in stages:
        best = _best(tuned, label)
        tuned += [_tried(lab, label, data, setup) for setup in stage(data, best.setup)]
    best = _best([*rows, *tuned], label)
    marked = [row.model_copy(update={"strongest": row is best}) for row in (*rows, *tuned)]
    return marked, best.setup


def _layouts(data: Data) -> list[Setup]:
    return [
        _tuned(data, TUNED.model_copy(update={"attention": a, "compiled": c}))
        for a in _attentions(data)
        for c in ((False, True) if data.spec.sweep == "full" else (False,))
    ]


def _tuned(data: Data, settings: TrlSettings) -> Setup:
    # TRL's head takes and frees blocks of hundreds of megabytes; mapping them anew is what it
    # suffers from most, so the crossing is done with the allocator that spares it.
    return plain_setup(data.spec, settings).model_copy(update={"allocator": "no_mmap"})


def _attentions(data: Data) -> list[str]:
    fast = data.spec.device == "cuda" and find_spec("flash_attn") is not None
    return ["sdpa", "eager", *(["flash_attention_2"] if fast else [])]


def _allocators(data: Data, best: Setup) -> list[Setup]:
    if data.spec.device == "cuda":
        return []
    others: tuple[Allocator, ...] = ("kept", "default")
    return [best.model_copy(update={"allocator": other}) for other in others]


def _batch_sizes(data: Data, best: Setup) -> list[Setup]:
    size = data.spec.batch_pairs
    others = {max(1, size // 2), size * 2} - {size}
    return [best.model_copy(update={"pairs_per_batch": other}) for other in sorted(others)]


def _other_threads(data: Data, best: Setup) -> list[Setup]:
    if data.spec.device == "cuda":
        return []
    return [best.model_copy(update={"threads": t}) for t in _threads(data) if t != best.threads]


def _threads(data: Data) -> list[int]:
    if data.spec.device == "cuda":
        return [data.spec.threads]
    return sorted({1, data.spec.threads})


def _tried(lab: Lab, label: str, data: Data, setup: Setup) -> Variant:
    try:
        found = lab.train(label, data, setup)
    except RunError as error:
        lab.launcher.say(f"    failed: {error}")
        return _row(setup, None, str(error))
    return _row(setup, found, None)


def _row(setup: Setup, found: Trained | None, failure: str | None) -> Variant:
    whole = None if found is None else found.pairs / (found.seconds + found.reference_seconds)
    return Variant(
        name=setup.name,
        setup=setup,
        pairs_per_second=None if found is None else found.pairs_per_second,
        pairs_per_second_with_reference=whole,
        memory_bytes=None if found is None else found.memory.above_model,
        failure=failure,
    )


def _best(rows: Sequence[Variant], label: str) -> Variant:
    ran = [row for row in rows if row.pairs_per_second is not None]
    if not ran:
        reasons = {row.failure or "" for row in rows}
        raise RunError("no variant of TRL ran: " + "\n".join(sorted(reasons)), where=label)
    return max(ran, key=lambda row: row.pairs_per_second or 0.0)
