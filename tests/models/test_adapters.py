"""Adapters from folders: with the right base they load like any model, else they are refused."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tests.tiny import tiny_model
from transformers import AutoModelForCausalLM

from exante.errors import InputError, RunError
from exante.models.adapters import Shape, base_of, chosen_targets, fresh, write_adapter
from exante.models.chat import Chat
from exante.models.folders import (
    context_limit,
    copy_model,
    mark_trace,
    opened_trace,
    weights_fingerprint,
)
from exante.models.load import load_adapted, load_chat, load_model, load_tokenizer, save_model
from exante.models.merging import fixed_logprobs, merge_folder
from exante.stages.runs import final_model


def drawn(model: Any) -> Any:
    """The model, with an adapter that changes something."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.2)
    return model


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "run/base/model", seed=8)


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """An adapter beside its base in one run, with two rows of the embeddings."""
    model, folder = load_model(base), tmp_path / "run/tuned/model"
    shape = Shape(4, 8, chosen_targets(model, None), (5, 9))
    model = drawn(fresh(model, shape, dropout=0.0, seed=0))
    write_adapter(model, load_chat(base), folder, base.resolve(), weights_fingerprint(base))
    return folder


def test_an_adapter_loads_as_a_plain_model(base: Path, adapter: Path) -> None:
    model = load_model(adapter)
    assert type(model) is type(load_model(base))
    assert not hasattr(model, "peft_config")
    assert all(value.requires_grad for value in model.parameters())
    loose = fixed_logprobs(load_adapted(adapter))
    assert torch.allclose(fixed_logprobs(model), loose, atol=1e-4)
    assert not torch.allclose(fixed_logprobs(load_model(base)), loose, atol=0.1)
    assert load_chat(adapter).eos_id == load_chat(base).eos_id
    assert context_limit(adapter) == 2048
    assert final_model(adapter) == adapter


def test_others_load_it_as_an_adapter(adapter: Path) -> None:
    expected = fixed_logprobs(load_model(adapter))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        alone = AutoModelForCausalLM.from_pretrained(adapter).eval()
        plain = AutoModelForCausalLM.from_pretrained(base_of(adapter).name)
        put = PeftModel.from_pretrained(plain, adapter).eval()
    for model in (alone, put):
        assert torch.allclose(fixed_logprobs(model), expected, atol=1e-4)


def test_a_run_can_be_moved(adapter: Path, tmp_path: Path) -> None:
    before = weights_fingerprint(adapter)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere/tuned/model"
    assert weights_fingerprint(moved) == before
    load_model(moved)


def test_a_copy_finds_the_base_from_anywhere(adapter: Path, tmp_path: Path) -> None:
    copy = tmp_path / "far/away/told/model"
    copy_model(adapter, copy)
    assert weights_fingerprint(copy) == weights_fingerprint(adapter)
    load_model(copy)


def test_the_mark_of_the_trace_stays(adapter: Path, tmp_path: Path) -> None:
    mark_trace(adapter, "open")
    assert opened_trace(adapter) == "open"
    save_model(load_model(adapter), load_chat(adapter), tmp_path / "whole")
    assert opened_trace(tmp_path / "whole") == "open"


def test_the_fingerprint_covers_adapter_settings_and_base(adapter: Path, tmp_path: Path) -> None:
    first = weights_fingerprint(adapter)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    for change in ({"lora_alpha": 9}, {"target_modules": ["q_proj"]}):
        (adapter / "adapter_config.json").write_text(json.dumps(settings | change))
        assert weights_fingerprint(adapter) != first
    same = {"base_model_name_or_path": "elsewhere", "target_modules": settings["target_modules"]}
    same["target_modules"] = same["target_modules"][::-1]
    (adapter / "adapter_config.json").write_text(json.dumps(settings | same))
    assert weights_fingerprint(adapter) == first
    told = json.loads((adapter / "base.json").read_text())
    (adapter / "base.json").write_text(json.dumps(told | {"fingerprint": "another"}))
    assert weights_fingerprint(adapter) != first


def test_a_base_that_is_gone_or_another_is_refused(adapter: Path, base: Path) -> None:
    tiny_model(base, seed=9)
    with pytest.raises(InputError, match="trained on other weights than those in"):
        load_model(adapter)
    shutil.rmtree(base)
    with pytest.raises(InputError, match=r"base is not there: .*base/model(.|\n)*base\.json"):
        load_model(adapter)


def test_a_vocabulary_that_does_not_fit_is_refused(adapter: Path) -> None:
    tokenizer = load_tokenizer(adapter)
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(adapter)
    with pytest.raises(InputError, match=r"tokenizer has 286 tokens, and its base 285"):
        load_model(adapter)


def test_matrices_of_another_shape_are_refused(adapter: Path) -> None:
    held = load_file(adapter / "adapter_model.safetensors")
    spoiled = {name: value[:, :-1].contiguous() for name, value in held.items()}
    save_file(spoiled, adapter / "adapter_model.safetensors")
    with pytest.raises(InputError, match="does not fit its base"):
        load_model(adapter)


def test_pickled_adapters_are_never_loaded(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({}, adapter / "adapter_model.bin")
    with pytest.raises(InputError, match="other weight formats can run code"):
        load_model(adapter)


def test_an_adapter_of_another_kind_or_a_torn_one_is_refused(adapter: Path) -> None:
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(settings | {"peft_type": "LOHA"}))
    with pytest.raises(InputError, match="an adapter of kind LOHA"):
        load_model(adapter)
    for torn in ("{", "[" * 100_000):
        (adapter / "adapter_config.json").write_text(torn)
        with pytest.raises(InputError, match=r"adapter_config\.json: cannot be read"):
            load_model(adapter)


def test_an_adapter_of_plain_peft_is_taken_as_it_is(base: Path, tmp_path: Path) -> None:
    """No tokenizer, no config, no fingerprint of its base: all of it is the base's."""
    folder = tmp_path / "theirs"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        get_peft_model(load_model(base), config).save_pretrained(str(folder))
    load_model(folder)
    assert isinstance(load_chat(folder), Chat)
    assert context_limit(folder) == 2048
    assert final_model(folder) == folder
    first = weights_fingerprint(folder)
    tiny_model(base, seed=9)
    assert weights_fingerprint(folder) != first


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_a_merged_folder_needs_no_base(
    adapter: Path, base: Path, tmp_path: Path, dtype: str, tolerance: float
) -> None:
    before, out = fixed_logprobs(load_model(adapter)), tmp_path / "out"
    moved = merge_folder(adapter, out, dtype=dtype)
    shutil.rmtree(base)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.dtype == getattr(torch, dtype)
    assert 0 < moved < tolerance
    assert torch.allclose(fixed_logprobs(load_model(out)), before, atol=tolerance)
    with pytest.raises(InputError, match="holds whole weights already"):
        merge_folder(out, tmp_path / "again")


def test_a_merge_that_fails_writes_nothing(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exante.models.merging.TOLERANCE", {torch.float32: 0.0})
    with pytest.raises(RunError, match="merging changed a token's log-prob"):
        merge_folder(adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    load_model(adapter)
