"""Models from folders: what is refused, what a fingerprint covers, how random weights look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.tiny import tiny_model

from exante.errors import InputError
from exante.models.load import load_chat, load_model, resolve, save_model, weights_fingerprint
from exante.models.probe import looks_untrained


def test_names_lead_to_folders(tmp_path: Path) -> None:
    assert (resolve("miniature") / "model.safetensors").is_file()
    assert resolve(str(tmp_path)) == tmp_path
    with pytest.raises(InputError, match="no such model folder"):
        resolve("./nowhere")


def test_the_shipped_weights_are_those_of_the_record() -> None:
    folder = resolve("miniature")
    record = json.loads((folder / "build.json").read_text())
    assert record["sha256"] == weights_fingerprint(folder)
    assert sum(p.stat().st_size for p in folder.iterdir()) < 12_000_000


def test_pickled_weights_are_never_loaded(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "model.safetensors").rename(folder / "gone")
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        load_model(folder)


def test_a_folder_without_config_or_with_broken_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        load_model(tmp_path)
    folder = tiny_model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(folder)


def test_the_fingerprint_covers_weights_and_template(tmp_path: Path) -> None:
    folder, same = tiny_model(tmp_path / "a"), tiny_model(tmp_path / "b")
    first = weights_fingerprint(folder)
    assert weights_fingerprint(same) == first
    model, chat = load_model(folder), load_chat(folder)
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1.0
    save_model(model, chat, tmp_path / "c")
    assert weights_fingerprint(tmp_path / "c") != first
    chat.tokenizer.chat_template += " "
    chat.tokenizer.save_pretrained(same)
    assert weights_fingerprint(same) != first


def test_random_weights_are_noticed(tmp_path: Path) -> None:
    folder, shipped = tiny_model(tmp_path), resolve("miniature")
    assert looks_untrained(load_model(folder), load_chat(folder))
    assert not looks_untrained(load_model(shipped), load_chat(shipped))
