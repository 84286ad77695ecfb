"""What wraps a model for many devices acts on its call: log-probs come through it unchanged."""

from __future__ import annotations

import socket
import sys
import warnings
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import torch
from tests.tiny import tiny_model

from exante.models.forward import response_logprobs_of, scoring
from exante.models.load import load_model
from exante.models.packed import Group, pack

GROUPS = [Group((5, 6, 7), ((8, 9, 1), (10, 1))), Group((11,), ((12, 13, 14, 1),))]


def plain(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    model = load_model(folder)
    found = response_logprobs_of(model, **pack(GROUPS, 1).inputs(), shared=True)
    found.sum().backward()
    return found.detach(), model.get_input_embeddings().weight.grad


def wrapped(folder: Path, kind: str, rank: int, world: int, port: int) -> None:
    """One rank: the same rows on each, so that averaged gradients are those of one process."""
    import torch.distributed as dist

    expected, slope = plain(folder)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    model = load_model(folder)
    with scoring(model, shared=True):
        if kind == "ddp":
            found = torch.nn.parallel.DistributedDataParallel(model)(**pack(GROUPS, 1).inputs())
        else:
            found = sharded(model, world)(**pack(GROUPS, 1).inputs())
        found.sum().backward()
    gradient: Any = model.get_input_embeddings().weight.grad
    gradient = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient
    assert torch.allclose(found.detach(), expected, atol=1e-5)
    assert torch.allclose(gradient, slope, atol=1e-4)
    dist.destroy_process_group()


def sharded(model: Any, world: int) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (world,))
    for layer in model.get_decoder().layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_two_processes_compute_what_one_does(kind: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", seed=7)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys, torch; from pathlib import Path; from torch.multiprocessing import spawn; "
        "sys.path.insert(0, '.'); from tests.models import test_wrappers as t; "
        f"spawn(t.ranked, (Path({str(folder)!r}), {kind!r}, 2, {port}), nprocs=2)"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def ranked(rank: int, folder: Path, kind: str, world: int, port: int) -> None:
    """What each process starts with."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    wrapped(folder, kind, rank, world, port)
