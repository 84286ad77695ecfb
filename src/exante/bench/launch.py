"""Starting one process per arm, with its environment, and keeping everything it answered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from exante.bench.request import Arm, Job, Process, Request, Setup
from exante.bench.spec import Allocator, Described, Device, TrainingSpec
from exante.errors import InputError, RunError

_SHOWN_LINES = 12
_ALLOCATORS: Mapping[Allocator, Mapping[str, str]] = {
    "default": {},
    # What exante sets for itself when it trains, as environment so that TRL can have it, too.
    "kept": {
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
    },
    "no_mmap": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
        "MALLOC_TOP_PAD_": str(64 << 20),
    },
}
_CLEANED = ("MALLOC_", "GLIBC_TUNABLES", "OMP_", "MKL_", "KMP_", "ONEDNN_")
"""Settings of the user's shell that would make the arms unequal, or the machine look different."""

Answer = TypeVar("Answer", bound=Described)


@dataclass
class Launcher:
    """Runs arms one after the other; requests, answers and logs stay in `folder`."""

    folder: Path
    say: Callable[[str], None]
    """Told what is about to run."""
    count: int = 0
    """Processes so far."""

    def run(
        self,
        arm: Arm,
        name: str,
        data: Data,
        setup: Setup,
        answer: type[Answer],
        weights: Path | None = None,
    ) -> Answer:
        """The answer of an arm that trains, or that prepares or measures for training.

        Raises:
            RunError: the process failed; names the arm and shows the end of its stderr.
        """
        request = Request(
            arm=arm,
            name=name,
            spec=data.spec,
            setup=setup,
            model=data.model,
            pairs=data.pairs,
            weights=weights,
        )
        return self.process(request, data.spec.device, answer)

    def process(self, job: Job, device: Device, answer: type[Answer]) -> Answer:
        """What a fresh process answers to the job.

        Raises:
            RunError: the process failed; names the arm and shows the end of its stderr.
        """
        self.count += 1
        place = self.folder / "processes" / f"{self.count:03}"
        place.mkdir(parents=True)
        asked = job.model_copy(update={"result": place / "result.json"})
        (place / "request.json").write_text(asked.model_dump_json(indent=2), encoding="utf-8")
        self.say(f"{self.count:3} {job.name}: {job.arm}, {job.setup.name}")
        log = place / "stderr.log"
        with log.open("w", encoding="utf-8") as stream:
            done = subprocess.run(
                [sys.executable, "-m", "exante.bench.worker", str(place / "request.json")],
                env=environment(os.environ, job.setup, device),
                stdout=stream,
                stderr=stream,
                check=False,
            )
        if done.returncode or not asked.result.is_file():
            raise RunError(_failure(job.arm, job.setup, done.returncode, log), where=job.name)
        found = answer.model_validate_json(asked.result.read_text(encoding="utf-8"))
        self._keep(asked, found)
        return found

    def _keep(self, job: Job, found: Described) -> None:
        paths = {"model", "result", "pairs", "prompts", "turns", "weights"}
        asked = job.model_dump(mode="json", exclude=paths)
        row = {"number": self.count, **asked, "result": found.model_dump(mode="json")}
        with (self.folder / "runs.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


@dataclass(frozen=True, slots=True)
class Data:
    """Where prepared weights and pairs of one spec are."""

    spec: TrainingSpec
    model: Path
    pairs: Path


def dated_folder(output: Path) -> Path:
    """A folder of its own for each run of the command: rows of two runs never mix."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        folder = output / f"{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise InputError("cannot make a new folder", where=str(output), fix="choose another --output")


def environment(base: Mapping[str, str], setup: Process, device: Device) -> dict[str, str]:
    """The variables of an arm's process: equal on both sides but for what the setup says."""
    kept = {name: value for name, value in base.items() if not name.startswith(_CLEANED)}
    return {
        **kept,
        **_ALLOCATORS[setup.allocator],
        "OMP_NUM_THREADS": str(setup.threads),
        "MKL_NUM_THREADS": str(setup.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        # DPOTrainer refuses several devices in one process.
        "CUDA_VISIBLE_DEVICES": base.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        if device == "cuda"
        else "",
    }


def _failure(arm: Arm, setup: Process, code: int, log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    shown = "\n".join(f"    {line}" for line in lines[-_SHOWN_LINES:])
    return f"the {arm} arm ({setup.name}) ended with code {code}; its last lines:\n{shown}"
