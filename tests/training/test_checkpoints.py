"""A checkpoint counts from when all of it is on the disk; which is newest, no clock decides."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from exante.training.checkpoints import Keeper, newest_checkpoint

FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")


def written(folder: Path, step: int, *, age: int = 0) -> Path:
    """What the Trainer leaves; `age` in seconds."""
    place = folder / f"checkpoint-{step}"
    place.mkdir(parents=True)
    for name in FILES:
        (place / name).write_text(name)
    os.utime(place, (1e9 - age, 1e9 - age))
    return place


def saved(folder: Path, step: int, *, age: int = 0) -> Path:
    place = written(folder, step, age=age)
    arguments, state = SimpleNamespace(output_dir=str(folder)), SimpleNamespace(global_step=step)
    Keeper().on_save(arguments, state, None)
    return place


def test_the_last_two_stay_by_their_steps_whatever_the_clock_says(tmp_path: Path) -> None:
    for step, age in ((2, 0), (4, 100), (10, 9000)):
        saved(tmp_path, step, age=age)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-4"]
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


def test_one_without_its_mark_is_dropped(tmp_path: Path) -> None:
    """Its names may be there and their content not: a power cut before everything was synced."""
    good, torn = saved(tmp_path, 2), written(tmp_path, 4)
    assert newest_checkpoint(tmp_path) == str(good)
    assert not torn.exists()


def test_one_that_lost_a_file_is_passed_over(tmp_path: Path) -> None:
    good, torn = saved(tmp_path, 2), saved(tmp_path, 4)
    (torn / "optimizer.pt").unlink()
    assert newest_checkpoint(tmp_path) == str(good)


def test_one_of_another_division_is_no_place_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 2)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert newest_checkpoint(tmp_path) is None
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")


def test_a_kill_while_one_is_dropped_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (2, 4):
        saved(tmp_path, step)

    def killed(path: Path, **options: object) -> None:
        (Path(path) / "model.safetensors").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            saved(tmp_path, 6)
    assert (tmp_path / "checkpoint-2").exists()
    (tmp_path / "checkpoint-6/whole.json").unlink()
    (tmp_path / "checkpoint-4/whole.json").unlink()
    assert newest_checkpoint(tmp_path) is None
