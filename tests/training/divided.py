"""What `accelerate launch` runs in tests: trainings on a tiny model, in several processes.

accelerate divides weights over GPUs only: on a CPU it would train by DDP without a word. Told to
(`divide_on_cpu`), it divides them on a CPU, too, and everything behind that is the real thing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import DistributedType
from accelerate.state import AcceleratorState, PartialState
from tests.training.test_fit import pairs, rows

from exante.models.load import load_chat
from exante.models.ranks import leave, ranks
from exante.training import PairLoss, TrainSettings, fit_pairs, fit_tokens

SETTINGS = TrainSettings(
    learning_rate=3e-3,
    epochs=2,
    batch_size=3,
    batch_tokens=64,
    checkpoint_steps=3,
    precision="float32",
    embeddings="markup",
)
"""22 rows in batches of three: the last one has one row, so that a process has nothing to do. Three
rows do not fit into 64 tokens, so that there are several parts, and not as many for all."""


def train(policy: Path, out: Path, kill_at: int | None = None) -> dict[str, Any]:
    """Both kinds of training; each leaves a log and a model, and this the summaries."""

    def on_step(step: int, steps: int, loss: float) -> None:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    chat = load_chat(policy)
    tokens = fit_tokens(
        rows(chat), policy=policy, out=out / "tokens", settings=SETTINGS, on_step=on_step
    )
    preferred = fit_pairs(
        pairs(chat),
        policy=policy,
        reference=policy,
        out=out / "pairs",
        settings=SETTINGS.model_copy(update={"accumulation": 2}),
        loss=PairLoss(),
    )
    return {"tokens": asdict(tokens), "pairs": asdict(preferred)}


def divide_on_cpu() -> None:
    """Let accelerate take FSDP's word on a CPU."""
    plain = AcceleratorState.__init__

    def divided(self: Any, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        plain(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if self.distributed_type == DistributedType.MULTI_CPU and fsdp_plugin is not None:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = divided


if __name__ == "__main__":
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        divide_on_cpu()
    kill_at = int(sys.argv[3]) if len(sys.argv) > 3 else None
    found = train(Path(sys.argv[1]), Path(sys.argv[2]), kill_at)
    if ranks().main:
        Path(sys.argv[2], "summaries.json").write_text(json.dumps(found))
    leave()
