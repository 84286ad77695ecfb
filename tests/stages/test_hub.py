"""Data sets as the hub has them, read from a folder of the same form; no network."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from exante.errors import InputError
from exante.rows import read_rows
from exante.stages.hub import fetched, rows_of
from exante.stages.mix import mixed, portions_of


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parquet files of two splits, with a card that names them."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    for split, prompts in {"train": ["one", "zwölf"], "test": ["three"]}.items():
        made = datasets.Dataset.from_dict({"prompt": prompts, "is_safe": [True] * len(prompts)})
        made.to_parquet(folder / f"{split}.parquet")
    return folder


def test_rows_become_a_file_that_is_made_once(repository: Path) -> None:
    path = rows_of(str(repository), name=None, revision=None, split=None, where="hub:owner/name")
    assert [row["prompt"] for _, row in read_rows(path)] == ["one", "zwölf"]
    before = path.stat().st_mtime_ns
    again = rows_of(str(repository), name=None, revision=None, split=None, where="hub:owner/name")
    assert (again, again.stat().st_mtime_ns) == (path, before)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_another_split_is_another_file(repository: Path) -> None:
    both = [
        rows_of(str(repository), name=None, revision=None, split=split, where="hub:owner/name")
        for split in ("train", "test")
    ]
    assert both[0] != both[1]
    assert [row["prompt"] for _, row in read_rows(both[1])] == ["three"]


def test_a_split_that_is_not_there(repository: Path) -> None:
    with pytest.raises(InputError, match=r"hub:owner/name#dev: cannot be fetched: .*dev"):
        rows_of(str(repository), name=None, revision=None, split="dev", where="hub:owner/name#dev")


@pytest.mark.parametrize("address", ["hub:name", "hub:a/b/c", "hub:../x", "hub:a/b#", "hub:"])
def test_malformed_addresses(address: str) -> None:
    with pytest.raises(InputError, match="no address of a data set"):
        fetched(address)


def test_without_network_it_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="hub:owner/no-such-set: cannot be fetched") as caught:
        mixed(portions_of("hub:owner/no-such-set", {}))
    assert "or give a file" in str(caught.value)
