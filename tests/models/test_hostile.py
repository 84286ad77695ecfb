"""A model folder of a stranger: nothing in it is run, and nothing outside it is read."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from tests.tiny import tiny_model

from exante.errors import InputError
from exante.models.folders import resolve
from exante.models.load import load_chat, load_model


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "models" / "tiny")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "ran"


PICKLES = (
    "pytorch_model.bin",
    "model.pt",
    "training_args.bin",
    "optimizer.pt",
    "adapter_model.bin",
)


def test_the_trap_works(mark: Path) -> None:
    pickle.loads(pickle.dumps(Trap(mark)))
    assert mark.exists()


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_beside_the_weights_is_left_alone(folder: Path, mark: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(Trap(mark)))
    load_model(folder)
    load_chat(folder)
    assert not mark.exists()


@pytest.mark.parametrize("name", PICKLES[:2])
def test_a_pickle_in_the_place_of_weights_is_refused(folder: Path, mark: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(InputError, match="no \\*.safetensors"):
        load_model(folder)
    (folder / "other.safetensors").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["weights.bin", "../other/model.safetensors", "/tmp/model.safetensors"]
)
def test_an_index_leads_to_safetensors_of_the_folder_only(
    folder: Path, mark: Path, name: str
) -> None:
    other = tiny_model(folder.parent / "other", seed=3)
    assert (other / "model.safetensors").is_file()
    whole = (folder / "model.safetensors").rename(folder / "part.safetensors")
    (folder / "weights.bin").write_bytes(pickle.dumps(Trap(mark)))
    index: dict[str, Any] = {
        "metadata": {},
        "weight_map": {"a.weight": whole.name, "b.weight": name},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="no safetensors file of the folder"):
        load_model(folder)
    assert not mark.exists()


def test_code_that_a_config_names_is_not_run(folder: Path, mark: Path) -> None:
    (folder / "modeling_trap.py").write_text(f"open({str(mark)!r}, 'w')\n")
    (folder / "tokenization_trap.py").write_text(f"open({str(mark)!r}, 'w')\n")
    named = {
        "AutoConfig": "modeling_trap.C",
        "AutoModelForCausalLM": "modeling_trap.M",
        "AutoTokenizer": ["tokenization_trap.T", None],
    }
    for file in ("config.json", "tokenizer_config.json"):
        edited(folder / file, lambda document: document.update(auto_map=named))
    load_model(folder)
    load_chat(folder)
    edited(folder / "config.json", lambda document: document.update(model_type="trap"))
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(folder)
    assert not mark.exists()


@pytest.mark.parametrize("field", ["attn_implementation", "_attn_implementation"])
def test_a_kernel_of_the_hub_is_not_fetched(folder: Path, field: str) -> None:
    edited(folder / "config.json", lambda document: document.update({field: "someone/kernel"}))
    with pytest.raises(InputError, match="asks for code from the hub"):
        load_model(folder)


def test_a_download_asks_for_no_code_and_no_pickles(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    asked: list[str] = []

    def fetched(name: str, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    assert resolve("someone/model") == folder
    there = ("config.json", "tokenizer.model", "chat_template.jinja", "model.safetensors")
    never = (*PICKLES, "modeling.py", "rng_state.pth", "optimizer.pkl", "weights.h5", "run.sh")
    assert all(any(fnmatch(name, pattern) for pattern in asked) for name in there)
    assert not any(fnmatch(name, pattern) for name in never for pattern in asked)


def test_a_template_reaches_nothing(folder: Path, mark: Path) -> None:
    calls = "''.__class__.__mro__[1].__subclasses__()", f"open({str(mark)!r}, 'w')"
    for call in calls:
        (folder / "chat_template.jinja").write_text("{{ " + call + " }}")
        with pytest.raises(Exception, match="(?i)unsafe|undefined|template"):
            load_chat(folder).prompt_ids([])
    assert not mark.exists()
