"""Broken model folders and adapters, each loaded as `exante chat` loads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.commands import exante
from tests.malformed.corpus import Case, cases
from tests.malformed.test_commands import require_one_message
from tests.tiny import tiny_model

from exante.models.adapters import Shape, chosen_targets, fresh, write_adapter
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_full


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound model, the same with a token too many, and an adapter on it."""
    place = tmp_path_factory.mktemp("models")
    sound = tiny_model(place / "sound" / "m")
    larger = shutil.copytree(sound, place / "larger" / "m")
    tokenizer = json.loads((larger / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(
        {**tokenizer["added_tokens"][0], "id": 4000, "content": "<more>", "special": False}
    )
    (larger / "tokenizer.json").write_text(json.dumps(tokenizer))
    base = shutil.copytree(sound, place / "adapter" / "m")
    model, chat = load_full(base), load_chat(base)
    shape = Shape(rank=2, alpha=4, targets=chosen_targets(model, None), tokens=())
    with_adapter = fresh(model, shape, dropout=0.0, seed=0)
    write_adapter(with_adapter, chat, place / "adapter" / "a", base, weights_fingerprint(base))
    return place


def broken(case: Case, folders: Path, to: Path) -> None:
    """The folders of the case's base with its changes, in `to`."""
    fields: dict[str, Any] = case.fields
    shutil.copytree(folders / fields["base"], to, dirs_exist_ok=True)
    note = to / "a" / "base.json"
    if note.is_file():
        told = json.loads(note.read_text())
        note.write_text(json.dumps({**told, "path": str(to / "m")}))
    for name in fields.get("drop", ()):
        (to / name if (to / name).exists() else to / "m" / name).unlink()
    for name, text in fields.get("write", {}).items():
        (to / name).write_text(text)
    for name in fields.get("cut", ()):
        whole = (to / name).read_bytes()
        (to / name).write_bytes(whole[: len(whole) // 2])
    for name, changes in fields.get("set", {}).items():
        told = json.loads((to / name).read_text())
        kept = {key: value for key, value in {**told, **changes}.items() if value is not None}
        (to / name).write_text(json.dumps(kept))
    if "write_tensors" in fields:
        save_file({"other.weight": torch.zeros(2, 2)}, to / fields["write_tensors"])


@pytest.mark.filterwarnings("ignore")  # Libraries warn of what is then refused.
@pytest.mark.parametrize("case", cases("models"), ids=lambda case: case.label)
def test_a_broken_model_ends_in_one_message(
    case: Case,
    folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken(case, folders, tmp_path)
    monkeypatch.chdir(tmp_path)
    done = exante(case.fields["run"], monkeypatch, capsys)
    require_one_message(done, 2)
    for words in case.says:
        assert words in done.said


@pytest.mark.parametrize(("base", "name"), [("sound", "m"), ("adapter", "a")])
def test_what_they_are_made_from_is_sound(
    base: str,
    name: str,
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folders / base)
    done = exante(f"chat {name} --prompt Hi", monkeypatch, capsys)
    assert done.code == 0, done.said
