"""What would leave the machine, and what happens where it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from tests.finished_run import finished_run
from tests.tiny import tiny_model
from typer.testing import CliRunner

from exante.cli import app
from exante.errors import InputError, RunError
from exante.models.adapters import Shape, chosen_targets, fresh, write_adapter
from exante.models.folders import weights_fingerprint
from exante.models.hub import check_ready, gather, upload
from exante.models.load import load_chat, load_model
from exante.stages.card import card_of
from exante.workflows import performing
from exante.workflows.publishing import push_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("hub") / "mine")


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is switched on, with a token, at an address where nobody listens."""
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_not_a_real_one")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def test_only_weights_tokenizer_and_card_leave(run: Path, tmp_path: Path) -> None:
    model = run / "taught" / "model"
    for name in ("log.jsonl", "pytorch_model.bin", "optimizer.pt", ".env", "code.py", "README.md"):
        (model / name).write_text("secret")
    said = push_run(run, "me/mine", folder=tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(names)
    allowed = (".json", ".safetensors", ".jinja", ".md")
    assert all(name.endswith(allowed) for name in names)
    texts = [p.read_text() for p in (tmp_path / "out").iterdir() if p.suffix != ".safetensors"]
    assert not any("secret" in text or str(run.parent) in text for text in texts)
    assert 'folder = "me/mine"' in (tmp_path / "out" / "README.md").read_text()
    assert all(name in said for name in names)


def test_an_adapter_leaves_as_whole_weights_that_name_no_path(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "mine")
    folder = tmp_path / "mine" / "taught" / "model"
    shutil.rmtree(folder)
    base = tiny_model(tmp_path / "base")
    loaded = load_model(base)
    adapted = fresh(loaded, Shape(4, 8, chosen_targets(loaded, None), ()), dropout=0.0, seed=0)
    write_adapter(adapted, load_chat(base), folder, base.resolve(), weights_fingerprint(base))
    stamp = json.loads((folder.parent / "stage.json").read_text())
    stamp["config"] = {"train": {"lora": {"rank": 4}}}
    (folder.parent / "stage.json").write_text(json.dumps(stamp))
    said = push_run(tmp_path / "mine", "me/mine", folder=tmp_path / "out")
    assert "model.safetensors" in said
    assert "adapter_config.json" not in said
    texts = [p.read_text() for p in (tmp_path / "out").iterdir() if p.suffix != ".safetensors"]
    assert not any(str(tmp_path) in text for text in texts)
    assert load_model(tmp_path / "out").num_parameters() == load_model(base).num_parameters()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| Training | low-rank adapters (LoRA) of rank 4, merged into the weights |" in card
    assert f"| This model | weights `{weights_fingerprint(tmp_path / 'out')[:12]}`, 1,234" in card
    assert "library_name: transformers" in card
    beside = card_of(tmp_path / "mine")
    assert "| Training | low-rank adapters (LoRA) of rank 4 |" in beside
    named = f"adapter `{weights_fingerprint(folder)[:12]}`, on a base of 1,234,567 parameters"
    assert f"| This model | {named} |" in beside
    assert "library_name: peft" in beside


def test_what_a_recipe_without_a_report_made_is_uploaded_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {"base": {"stage": "source", "model": str(tiny_model(tmp_path / "base"))}}
    recipe = {"name": "mine", "settings": {}, "outcome": {"of": "base"}, "steps": steps}
    (tmp_path / "mine.yaml").write_text(json.dumps(recipe))
    pushed: list[str] = []

    def push(run: Path, to: str) -> str:
        pushed.append(to)
        return "there"

    monkeypatch.setattr(performing, "check_ready", lambda _: None)
    monkeypatch.setattr(performing, "push_run", push)
    given: dict[str, Any] = {"asked": {}, "changes": {}, "out": tmp_path / "run"}
    for until, seen in (("base", []), (None, ["me/x"])):
        found = performing.run_recipe(
            str(tmp_path / "mine.yaml"), **given, until=until, push_to="me/x"
        )
        assert (found, pushed) == (None, seen)


def test_weights_that_can_run_code_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_text("")
    with pytest.raises(InputError, match="no \\*.safetensors"):
        gather(tmp_path, "card", tmp_path / "out")


@pytest.mark.parametrize("name", ["mine", "me/", "me/a b", "../a/b", "me/../x", "a/b/c", "me/a--b"])
def test_what_is_no_id_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no hub id"):
        check_ready(name)


def test_offline_and_logged_out_are_said_before_anything_is_spent(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = CliRunner().invoke(app, ["align", "--push-to-hub", "me/x", "-o", str(tmp_path / "new")])
    assert isinstance(said.exception, InputError)
    assert "switched off" in str(said.exception)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(InputError, match="not logged in"):
        upload(run, "me/mine", private=True)


@pytest.mark.usefixtures("online")
def test_a_hub_that_cannot_be_reached_is_one_message(run: Path) -> None:
    with pytest.raises(RunError, match="could not be uploaded") as failed:
        push_run(run, "me/mine")
    assert "nothing is lost" in str(failed.value)
    assert "hf_not_a_real_one" not in str(failed.value)
    assert (run / "taught" / "model" / "model.safetensors").is_file()
