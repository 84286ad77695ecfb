"""The base model's folder: whole or not there, and refused before the training where it is taken.

A model of a few hundred numbers, on the first chats of the corpus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from exante.errors import InputError
from exante.miniature import build as module
from exante.miniature.build import THINK_TOKENS, BuildSettings, build
from exante.miniature.corpus import Chat, chats
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model

TINY = BuildSettings(
    vocabulary=400, hidden=32, layers=1, heads=2, steps=2, rows=2, row_tokens=32, learning_rate=1e-3
)


@pytest.fixture(autouse=True)
def few_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(seed: int) -> Iterator[Chat]:
        return islice(chats(seed), 100)

    monkeypatch.setattr("exante.miniature.corpus.chats", few)


def test_a_folder_is_made_whole_and_the_same_again(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    digest = build(tmp_path / "base", TINY, lambda step, steps, _: told.append((step, steps)))
    assert told == [(1, 2), (2, 2)]
    assert build(tmp_path / "again", TINY) == digest == weights_fingerprint(tmp_path / "base")
    kept = json.loads((tmp_path / "base/build.json").read_text())
    assert (kept["sha256"], kept["steps"], kept["final_loss"] > 0) == (digest, 2, True)
    assert {path.name for path in tmp_path.iterdir()} == {"base", "again"}


def test_think_tokens_are_average_ones(tmp_path: Path) -> None:
    build(tmp_path / "base", TINY)
    table = load_model(tmp_path / "base", dtype="float32").get_input_embeddings().weight
    known = load_chat(tmp_path / "base").tokenizer.get_vocab()
    unseen = [known[token] for token in THINK_TOKENS]
    mean = table[[token for token in range(len(table)) if token not in unseen]].mean(0)
    torch.testing.assert_close(table[unseen], mean.expand(len(unseen), -1), rtol=1e-2, atol=1e-3)


def test_what_is_there_is_neither_mixed_nor_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    def stopped(*_: object) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_train", stopped)
        with pytest.raises(InputError, match="holds something already"):
            build(tmp_path, TINY)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path, TINY, over=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    build(tmp_path, TINY, over=True)
    assert not (tmp_path / "notes.txt").exists()
    assert (tmp_path / "model.safetensors").is_file()
