"""A file has its old or its new content, and content is on the disk before its name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.commands import python

from exante.durable import (
    copy_file,
    drop_unfinished,
    new_folder,
    put_in_place,
    replaced,
    sync_tree,
    write_text,
)
from exante.errors import InputError


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced and renamed, in order; a folder is synced under its name."""
    told: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        told.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def put(path: Path, target: Path) -> Path:
        told.append(f"name {target.name}")
        return replace(path, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("pathlib.Path.replace", put)
    return told


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, done: list[str]) -> None:
    write_text(tmp_path / "a.txt", "ä\n")
    assert done == ["sync a.txt.tmp", "name a.txt", f"sync {tmp_path.name}"]
    assert (tmp_path / "a.txt").read_bytes() == "ä\n".encode()
    done.clear()
    (tmp_path / "b").write_bytes(b"\x00")
    copy_file(tmp_path / "b", tmp_path / "c")
    assert done == ["sync c.tmp", "name c", f"sync {tmp_path.name}"]
    assert (tmp_path / "c").read_bytes() == b"\x00"


def test_a_folder_behind_a_link_is_synced_and_links_in_a_folder_are_not(
    tmp_path: Path, done: list[str]
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    write_text(tmp_path / "runs/a.txt", "a")
    assert done == ["sync a.txt.tmp", "name a.txt", "sync disk"]
    done.clear()
    (tmp_path / "disk/elsewhere").symlink_to(tmp_path / "nowhere")
    sync_tree(tmp_path / "disk")
    assert done == ["sync a.txt", "sync disk"]


def test_what_fails_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def broken() -> None:
        with replaced(path) as file:
            file.write("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert path.read_text() == "old"
    write_text(path, "new")
    assert (path.read_text(), os.listdir(tmp_path)) == ("new", ["a.txt"])


def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path: Path, done: list[str]) -> None:
    part = tmp_path / "part"
    (part / "model").mkdir(parents=True)
    (part / "model/weights").write_bytes(b"1")
    (part / "rows").write_bytes(b"2")
    put_in_place(part, tmp_path / "whole")
    named = done.index("name whole")
    assert set(done[:named]) == {"sync weights", "sync model", "sync rows", "sync part"}
    assert done.index("sync weights") < done.index("sync model") < done.index("sync part")
    assert done[named + 1 :] == [f"sync {tmp_path.name}"]
    assert (tmp_path / "whole/model/weights").read_bytes() == b"1"


def test_a_new_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "model"

    def broken() -> None:
        with new_folder(target) as place:
            (place / "weights").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert not target.exists()
    target.mkdir()
    with new_folder(target) as place:
        (place / "config").write_text("whole")
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(target) == ["config"]


def test_a_new_folder_takes_no_place_that_is_taken(tmp_path: Path) -> None:
    """Told on entry, before anything is made."""
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    for place, problem in ((target, "holds something already"), (target / "weights", "Not a dir")):
        with pytest.raises(InputError, match=problem), new_folder(place):
            pytest.fail("entered")
    with pytest.raises(KeyboardInterrupt), new_folder(target, over=True):
        raise KeyboardInterrupt
    assert (target / "weights").read_text() == "old"
    with new_folder(target, over=True) as place:
        (place / "config").write_text("new")
    assert (os.listdir(tmp_path), os.listdir(target)) == (["model"], ["config"])


def test_what_gave_way_to_a_folder_that_never_came_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two renames, and again while the next try works."""
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")

    def killed(*_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("exante.durable.put_in_place", killed)
        with pytest.raises(KeyboardInterrupt), new_folder(target, over=True):
            pass
    assert not target.exists()
    with pytest.raises(KeyboardInterrupt), new_folder(target, over=True):
        raise KeyboardInterrupt
    assert (target / "weights").read_text() == "old"


def test_what_was_left_half_written_is_dropped_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    names = ("rows.jsonl.tmp", "model/config.json.tmp", "model/.tmpDZ2TM3", "rows.jsonl", "tmp")
    for name in names:
        (tmp_path / name).write_text("")
    drop_unfinished(tmp_path)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["rows.jsonl", "tmp"]


def test_weights_that_a_kill_left_half_written_have_a_name_that_is_dropped(tmp_path: Path) -> None:
    """The name that safetensors gives a file until it is whole."""
    code = (
        "import resource, signal, sys, numpy, safetensors.numpy\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "safetensors.numpy.save_file({'x': numpy.zeros(1 << 20)}, sys.argv[1])\n"
    )
    killed = python("-c", code, tmp_path / "model.safetensors")
    assert killed.returncode == -signal.SIGXFSZ
    assert [path.name[:4] for path in tmp_path.iterdir()] == [".tmp"]
    drop_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())


def test_who_may_read_a_folder_may_read_the_weights_in_it(tmp_path: Path) -> None:
    with new_folder(tmp_path / "model") as folder:
        save_file({"x": np.zeros(1)}, folder / "model.safetensors")
        (folder / "private").touch(mode=0o600)
    usual = (tmp_path / "model").stat().st_mode & 0o666
    assert (tmp_path / "model/model.safetensors").stat().st_mode & 0o777 == usual
    assert (tmp_path / "model/private").stat().st_mode & 0o777 == 0o600
