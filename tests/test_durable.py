"""A file has its old or its new content, and content is on the disk before its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exante.durable import (
    copy_file,
    drop_unfinished,
    new_folder,
    put_in_place,
    replaced,
    write_bytes,
    write_text,
)


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
    write_bytes(tmp_path / "b", b"\x00")
    copy_file(tmp_path / "b", tmp_path / "c")
    assert [line for line in done if line.startswith("sync")][::2] == ["sync b.tmp", "sync c.tmp"]
    assert (tmp_path / "c").read_bytes() == b"\x00"


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


def test_what_was_left_half_written_is_dropped_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in ("rows.jsonl.tmp", "model/config.json.tmp", "rows.jsonl", "tmp"):
        (tmp_path / name).write_text("")
    drop_unfinished(tmp_path)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["rows.jsonl", "tmp"]
