"""One arm in a process of its own: `python -m exante.bench.worker REQUEST.json`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import torch
from pydantic import TypeAdapter

from exante.bench.data import warmup_steps
from exante.bench.meter import Meter
from exante.bench.request import Arm, Request
from exante.bench.sampling_request import SampleRequest
from exante.bench.spec import Described
from exante.errors import ExanteError
from exante.records import write_json

ARMS: dict[Arm, str] = {
    "prepare": "exante.bench.prepare_arm",
    "exante": "exante.bench.engine_arm",
    "trl": "exante.bench.trl_arm",
    "gemm": "exante.bench.gemm_arm",
    "sample_prepare": "exante.bench.sample_prepare_arm",
    "sample_exante": "exante.bench.sample_exante_arm",
    "sample_generate": "exante.bench.sample_generate_arm",
    "sample_score": "exante.bench.sample_score_arm",
}
"""Modules with `run(request, meter)`; only the one that is asked for is imported."""


def main(path: str) -> None:
    """Read the request, run its arm, write its answer.

    Allocator and OpenMP were set by whoever started the process: they are read before this line.
    """
    jobs: TypeAdapter[Request | SampleRequest] = TypeAdapter(Request | SampleRequest)
    request = jobs.validate_json(Path(path).read_text(encoding="utf-8"))
    torch.set_num_threads(request.setup.threads)
    answer = answer_to(request)
    write_json(request.result, answer.model_dump(mode="json"))


def answer_to(request: Request | SampleRequest) -> Described:
    """What the request's arm says, in this process."""
    warmup = 0  # a sampling arm warms up by itself
    if isinstance(request, Request):
        warmup = warmup_steps(request.spec, request.setup.pairs_per_batch)
    meter = Meter(request.spec.device, warmup)
    arm = import_module(ARMS[request.arm])
    meter.imported()
    answer: Described = arm.run(request, meter)
    return answer


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ExanteError as error:
        sys.exit(f"error: {error}")
