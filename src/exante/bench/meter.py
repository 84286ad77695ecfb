"""Clock and memory of one arm's process: the arm says where it is, the meter reads."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from exante.bench.request import Memory
from exante.models.memory import peak_bytes, reset_peak, status_bytes

_PACKAGES = ("exante", "torch", "transformers", "trl", "accelerate")


class Meter:
    """Read in this order: imports, model, training starts, one call per step."""

    def __init__(self, device: str, warmup: int) -> None:
        """`warmup` steps are run before the clock counts."""
        self.device = device
        self.warmup = warmup
        self.steps = 0
        self.step_seconds: list[float] = []
        self._last = 0.0
        self._states = 0
        self._reset = False
        self._after_imports = self._after_model = 0

    def imported(self) -> None:
        """All libraries are in memory."""
        self._after_imports = self._resident()

    def model_loaded(self, model: Any) -> None:
        """The policy is in memory, nothing else was built yet."""
        # Weights may still be mapped from their file; pages count once they are read.
        for parameter in model.parameters():
            parameter.detach().sum().item()
        self._after_model = self._resident()

    def training_starts(self, model: Any) -> None:
        """Set up is done; the peak of memory counts from here."""
        trained = [p for p in model.parameters() if p.requires_grad]
        self._states = 3 * sum(p.numel() * p.element_size() for p in trained)
        self._reset = reset_peak(self.device)
        self._start()

    def step_done(self, last: bool = False) -> None:
        """The optimizer has stepped; the next batch is not asked for yet."""
        self.steps += 1
        if self.steps <= self.warmup:
            if self.steps == self.warmup:
                self._start()
            return
        if last:
            wait(self.device)
        now = time.perf_counter()
        self.step_seconds.append(now - self._last)
        self._last = now

    def memory(self) -> Memory:
        """To be read once training is over, before anything else is allocated."""
        return Memory(
            after_imports=self._after_imports,
            after_model=self._after_model,
            peak=self._peak(),
            peak_is_of_training=self._reset,
            states=self._states,
        )

    def _start(self) -> None:
        # Only at both ends of the timed part: between them, kernels may run ahead as they do.
        wait(self.device)
        self._last = time.perf_counter()

    def _resident(self) -> int:
        if self.device == "cuda":
            return torch.cuda.memory_allocated()
        return status_bytes("VmRSS")

    def _peak(self) -> int:
        return peak_bytes(self.device)


def wait(device: str) -> None:
    """Until the device has done what it was asked for; a CPU always has."""
    if device == "cuda":
        torch.cuda.synchronize()


def versions() -> dict[str, str]:
    """Of Python and of every library that takes part."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine(device: str) -> dict[str, str | int | float]:
    """What the numbers were measured on, and how busy it was."""
    found: dict[str, str | int | float] = {
        "system": platform.platform(),
        "processor": _cpu_fields().get("model name", platform.processor()),
        "cores": os.cpu_count() or 0,
        "features": _features(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "preloaded": os.environ.get("LD_PRELOAD", ""),
    }
    if device == "cuda":
        found["accelerator"] = torch.cuda.get_device_name()
    return found


def _features() -> str:
    known = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")
    fields = _cpu_fields()
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return " ".join(name for name in known if name in flags)


def _cpu_fields() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    parts = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in parts}
