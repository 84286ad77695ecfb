"""One arm in a process of its own: `python -m exante.bench.worker REQUEST.json`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import torch

from exante.bench.data import warmup_steps
from exante.bench.meter import Meter
from exante.bench.request import Arm, Request
from exante.errors import ExanteError
from exante.records import write_json

ARMS: dict[Arm, str] = {
    "prepare": "exante.bench.prepare_arm",
    "exante": "exante.bench.engine_arm",
    "trl": "exante.bench.trl_arm",
    "gemm": "exante.bench.gemm_arm",
}
"""Modules with `run(request, meter)`; only the one that is asked for is imported."""


def main(path: str) -> None:
    """Read the request, run its arm, write its answer.

    Allocator and OpenMP were set by whoever started the process: they are read before this line.
    """
    request = Request.model_validate_json(Path(path).read_text(encoding="utf-8"))
    torch.set_num_threads(request.setup.threads)
    warmup = warmup_steps(request.spec, request.setup.pairs_per_batch)
    meter = Meter(request.spec.device, warmup)
    arm = import_module(ARMS[request.arm])
    meter.imported()
    answer = arm.run(request, meter)
    write_json(request.result, answer.model_dump(mode="json"))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ExanteError as error:
        sys.exit(f"error: {error}")
