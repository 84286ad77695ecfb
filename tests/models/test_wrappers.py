"""What wraps a model for many devices acts on its call: log-probs come through it unchanged."""

from __future__ import annotations

import socket
import subprocess
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from tests.commands import environment
from tests.tiny import tiny_model

from exante.models.forward import response_logprobs_of, scoring
from exante.models.load import load_model
from exante.models.packed import Group, pack

WORLD = 2
GROUPS = [Group((5, 6, 7), ((8, 9, 1), (10, 1))), Group((11,), ((12, 13, 14, 1),))]


def plain(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    model = load_model(folder)
    found = response_logprobs_of(model, **pack(GROUPS, 1).inputs(), shared=True)
    found.sum().backward()
    return found.detach(), model.get_input_embeddings().weight.grad


def wrapped(model: Any, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The same of a wrapped model, with the same rows on each rank: means are those of one."""
    with scoring(model, shared=True):
        if kind == "ddp":
            found = torch.nn.parallel.DistributedDataParallel(model)(**pack(GROUPS, 1).inputs())
        else:
            found = sharded(model)(**pack(GROUPS, 1).inputs())
        found.sum().backward()
    slope = model.get_input_embeddings().weight.grad
    return found.detach(), slope.full_tensor() if hasattr(slope, "full_tensor") else slope


def sharded(model: Any) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (WORLD,))
    for layer in model.get_decoder().layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def test_processes_that_wrap_a_model_compute_what_one_does(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", seed=7)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.models.test_wrappers", str(folder), str(port)]
    ranks = [
        subprocess.Popen(
            [*command, str(rank)], env=environment(), stderr=subprocess.PIPE, text=True
        )
        for rank in range(WORLD)
    ]
    said = [process.communicate()[1][-2000:] for process in ranks]
    assert [process.returncode for process in ranks] == [0] * WORLD, "\n".join(said)


def ranked(folder: Path, port: int, rank: int) -> None:
    """What each process does: one way of wrapping after the other."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    expected, slope = plain(folder)
    address = f"tcp://127.0.0.1:{port}"
    # None waits for another that is gone.
    dist.init_process_group("gloo", address, timedelta(minutes=2), rank=rank, world_size=WORLD)
    for kind in ("ddp", "fsdp2"):
        found, gradient = wrapped(load_model(folder), kind)
        assert torch.allclose(found, expected, atol=1e-5), kind
        assert torch.allclose(gradient, slope, atol=1e-4), kind
    dist.destroy_process_group()


if __name__ == "__main__":
    ranked(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
