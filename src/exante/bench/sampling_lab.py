"""Shared by all comparisons of sampling: prompts made once per workload, interleaved runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exante.bench.lab import OWN_ALLOCATOR, interleaved
from exante.bench.launch import Launcher
from exante.bench.measure import ratio_of_rates
from exante.bench.request import Arm
from exante.bench.sampling_request import (
    Drawn,
    GenerateSettings,
    PreparedPrompts,
    SampleRequest,
    SampleSetup,
    Scored,
)
from exante.bench.sampling_spec import Draw, SamplingSpec, Workload


@dataclass(frozen=True, slots=True)
class Prompts:
    """Where weights and prompts of a workload are."""

    workload: Workload
    model: Path
    path: Path


@dataclass
class SamplingLab:
    """Where arms are run; `work` holds weights, prompts and turns and is deleted afterwards."""

    launcher: Launcher
    work: Path
    spec: SamplingSpec
    prepared: dict[Workload, tuple[Prompts, PreparedPrompts]] = field(default_factory=dict)
    latest: Drawn | None = None
    """What was sampled last."""

    def prompts(self, workload: Workload) -> Prompts:
        """Weights and prompts of the workload, made when they are asked for first."""
        if workload not in self.prepared:
            self.work.mkdir(parents=True, exist_ok=True)
            place = Prompts(workload, self.work / "model", self.work / f"{workload}.jsonl")
            job = self._job("sample_prepare", f"prompts, {workload}", place, own_setup(self.spec))
            made = self.launcher.process(job, self.spec.device, PreparedPrompts)
            self.prepared[workload] = Prompts(workload, made.model, place.path), made
        return self.prepared[workload][0]

    def sample(
        self,
        name: str,
        prompts: Prompts,
        setup: SampleSetup,
        *,
        draw: Draw | None = None,
        first: int | None = None,
        turns: Path | None = None,
    ) -> Drawn:
        """Turns by `generate` if the setup has settings for it, else by exante."""
        arm: Arm = "sample_exante" if setup.generate is None else "sample_generate"
        job = self._job(arm, name, prompts, setup)
        job = job.model_copy(update={"draw": draw or job.draw, "first": first, "turns": turns})
        self.latest = self.launcher.process(job, self.spec.device, Drawn)
        return self.latest

    def score(self, name: str, prompts: Prompts, turns: Path) -> list[float]:
        """Log-probs of the turns in the file by a forward pass in float32."""
        job = self._job("sample_score", name, prompts, own_setup(self.spec, precision="float32"))
        asked = job.model_copy(update={"turns": turns})
        return self.launcher.process(asked, self.spec.device, Scored).sums

    def block(self, name: str, prompts: Prompts, ours: SampleSetup, theirs: SampleSetup) -> Samples:
        """Ours, theirs, theirs, ours, each in a fresh process."""
        return Samples(*interleaved(lambda setup: self.sample(name, prompts, setup), ours, theirs))

    def _job(self, arm: Arm, name: str, prompts: Prompts, setup: SampleSetup) -> SampleRequest:
        return SampleRequest(
            arm=arm,
            name=name,
            spec=self.spec,
            setup=setup,
            workload=prompts.workload,
            draw=self.spec.draw(prompts.workload),
            model=prompts.model,
            prompts=prompts.path,
        )


@dataclass(frozen=True, slots=True)
class Samples:
    """Interleaved runs over the same prompts."""

    ours: Sequence[Drawn]
    theirs: Sequence[Drawn]

    @property
    def speed(self) -> float:
        """Our tokens per second over theirs."""
        return ratio_of_rates(
            [(d.tokens, d.seconds) for d in self.ours], [(d.tokens, d.seconds) for d in self.theirs]
        )

    def raw(self) -> dict[str, list[tuple[int, float]]]:
        """Tokens and seconds of every run."""
        return {
            "ours": [(d.tokens, d.seconds) for d in self.ours],
            "theirs": [(d.tokens, d.seconds) for d in self.theirs],
        }


def own_setup(spec: SamplingSpec, **changes: object) -> SampleSetup:
    """The side of exante: threads and precision of the spec, the allocator as exante sets it."""
    plain = SampleSetup(threads=spec.threads, precision=spec.precision, allocator=OWN_ALLOCATOR)
    return plain.model_copy(update=changes)


def as_called_first(spec: SamplingSpec, workload: Workload) -> SampleSetup:
    """`generate` as somebody calls it who has not tried anything: defaults, glibc as it is."""
    size = 1 if workload == "single" else spec.default_call
    settings = GenerateSettings(prompts_per_call=size)
    return own_setup(spec, generate=settings, allocator="default")
