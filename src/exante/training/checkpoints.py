"""Checkpoints from which a killed training continues: which are whole, and how many are kept.

The Trainer writes their files; a mark that comes last says that all of them are on the disk. Which
one is newest is told by its step, never by a clock.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from exante.durable import sync_tree
from exante.models.ranks import from_main, ranks, together
from exante.records import write_json
from exante.training.sharding import Division, division

_MARK = "whole.json"
_KEPT = 2
"""The one before the last survives what the last one does not."""
_COMPLETE: dict[Division, Sequence[str]] = {
    "none": ("trainer_state.json", "optimizer.pt", "scheduler.pt"),
    # One file, or a folder with a part of each process.
    "fsdp": ("trainer_state.json", "optimizer[._]*", "scheduler.pt"),
    "deepspeed": ("trainer_state.json", "latest"),
}
"""What a checkpoint has at its end; the optimiser of one division cannot be read by another."""


class Keeper(TrainerCallback):
    """Marks each checkpoint once it is on the disk, and removes those that are too old."""

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Every process sees to what it wrote; the main one marks it when all have."""
        folder = Path(args.output_dir)
        newest = folder / f"checkpoint-{state.global_step}"
        # Files that another process still writes may vanish while they are looked at.
        together()
        sync_tree(newest)
        together()
        if ranks().main:
            write_json(newest / _MARK, {"division": division()})
            for old in _by_step(folder)[:-_KEPT]:
                _drop(old)


def newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in a folder of them that is whole, by this division."""
    return from_main(lambda: _newest(folder))


def _newest(folder: Path) -> str | None:
    found = _by_step(folder)
    for torn in [p for p in found if _marked(p) is None]:
        # It would be written again, over what is left of it.
        _drop(torn)
    whole = [p for p in found if _is_whole(p)]
    return str(whole[-1]) if whole else None


def _by_step(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def _drop(checkpoint: Path) -> None:
    """The mark goes first: a kill leaves nothing that looks whole."""
    (checkpoint / _MARK).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def _is_whole(checkpoint: Path) -> bool:
    names = _COMPLETE[division()]
    return _marked(checkpoint) == division() and all(any(checkpoint.glob(n)) for n in names)


def _marked(checkpoint: Path) -> str | None:
    """By which division a whole checkpoint was written; None of one that may be torn."""
    try:
        return str(json.loads((checkpoint / _MARK).read_text(encoding="utf-8"))["division"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
