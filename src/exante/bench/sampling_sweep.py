"""Looking for the strongest settings of `generate`, so that the baseline is not a weak one."""

from __future__ import annotations

from collections.abc import Sequence

from exante.bench.sampling_lab import Prompts, SamplingLab, as_called_first, own_setup
from exante.bench.sampling_request import Drawn, GenerateSettings, SampleSetup
from exante.bench.sampling_spec import Workload
from exante.bench.spec import Allocator, Described
from exante.errors import RunError


class SamplingVariant(Described):
    """One row of the sweep."""

    workload: Workload
    name: str
    setup: SampleSetup
    tokens_per_second: float | None
    """None: it failed."""
    strongest: bool = False
    failure: str | None = None


def sweep(lab: SamplingLab, prompts: Prompts) -> tuple[list[SamplingVariant], SampleSetup]:
    """Every variant tried on the prompts, and the setup with most tokens per second.

    Prompts per call and attention are crossed; a static cache, allocators and continuous batching
    are then tried around the best so far. Variants that fail stay in the table with their reason.

    Raises:
        RunError: no variant ran.
    """
    workload = prompts.workload
    rows = [_tried(lab, prompts, as_called_first(lab.spec, workload))]
    rows += [_tried(lab, prompts, setup) for setup in _layouts(lab, workload)]
    for stage in (_static, _allocators, _continuous):
        best = _best(rows, workload).setup
        rows += [_tried(lab, prompts, setup) for setup in stage(lab, workload, best)]
    best_row = _best(rows, workload)
    marked = [row.model_copy(update={"strongest": row is best_row}) for row in rows]
    return marked, best_row.setup


def _sizes(lab: SamplingLab, workload: Workload) -> tuple[int, ...]:
    return (1,) if lab.spec.draw(workload).alone else lab.spec.calls


def _layouts(lab: SamplingLab, workload: Workload) -> list[SampleSetup]:
    return [
        own_setup(
            lab.spec,
            generate=GenerateSettings(prompts_per_call=size, by_length=True, attention=attention),
        )
        for attention in ("sdpa", "eager")
        for size in _sizes(lab, workload)
    ]


def _static(lab: SamplingLab, workload: Workload, best: SampleSetup) -> list[SampleSetup]:
    """With every number of prompts: what a static cache costs and saves depends on the rows."""
    return [
        _changed(best, prompts_per_call=size, by_length=True, cache="static")
        for size in _sizes(lab, workload)
    ]


def _allocators(lab: SamplingLab, _: Workload, best: SampleSetup) -> list[SampleSetup]:
    if lab.spec.device == "cuda" or lab.spec.sweep == "short":
        return []
    known: tuple[Allocator, ...] = ("kept", "no_mmap", "default")
    return [
        best.model_copy(update={"allocator": other}) for other in known if other != best.allocator
    ]


def _continuous(lab: SamplingLab, workload: Workload, best: SampleSetup) -> list[SampleSetup]:
    if lab.spec.draw(workload).alone:
        return []
    # Without a paged kernel every row is computed against all rows in flight: few are faster.
    sizes = _sizes(lab, workload)
    size = max(sizes) if lab.spec.device == "cuda" else min(sizes)
    return [_changed(best, prompts_per_call=size, by_length=True, cache="dynamic", continuous=True)]


def _changed(setup: SampleSetup, **changes: object) -> SampleSetup:
    settings = setup.generate
    assert settings is not None
    return setup.model_copy(update={"generate": settings.model_copy(update=changes)})


def _tried(lab: SamplingLab, prompts: Prompts, setup: SampleSetup) -> SamplingVariant:
    found: Drawn | None = None
    failure = None
    try:
        found = lab.sample(f"sweep, {prompts.workload}", prompts, setup)
    except RunError as error:
        lab.launcher.say(f"    failed: {error}")
        failure = str(error)
    return SamplingVariant(
        workload=prompts.workload,
        name=setup.name,
        setup=setup,
        tokens_per_second=None if found is None else found.tokens_per_second,
        failure=failure,
    )


def _best(rows: Sequence[SamplingVariant], workload: Workload) -> SamplingVariant:
    ran = [row for row in rows if row.tokens_per_second is not None]
    if not ran:
        reasons = {row.failure or "" for row in rows}
        raise RunError("no variant of generate ran: " + "\n".join(sorted(reasons)), where=workload)
    return max(ran, key=lambda row: row.tokens_per_second or 0.0)
