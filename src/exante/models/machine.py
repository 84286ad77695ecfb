"""What a result may depend on besides its settings: threads, kernels, device, versions.

It is written down beside each result, and decides nothing.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from exante.models.ranks import ranks
from exante.version import __version__

_LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "numpy")


def machine() -> dict[str, Any]:
    """What computes in this process."""
    # Takes a second, and whoever computes has it by then.
    import torch

    from exante.models.devices import default_device

    device = default_device()
    found: dict[str, Any] = {
        "versions": {"exante": __version__, **{name: version(name) for name in _LIBRARIES}},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
    }
    if ranks().count > 1:
        found["processes"] = ranks().count
    return found


def _processor() -> str:
    """The name of the CPU, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
