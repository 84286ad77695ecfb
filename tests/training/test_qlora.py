"""Adapters on quantised weights: for real where bitsandbytes is installed, else refused early."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tests.tiny import tiny_model
from tests.training.test_embeddings import with_think_tokens
from tests.training.test_fit import Killed, killer, pairs, rows
from transformers import LlamaForCausalLM

from exante import recipes
from exante.errors import InputError
from exante.models import quantized
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.quantized import Bits
from exante.records import Pair, read_jsonl
from exante.training import PairLoss, TrainSettings, fit_pairs, fit_tokens
from exante.training.fit import fit_weights
from exante.training.lora import trainable
from exante.training.settings import LoraSettings

needs_bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None,
    reason="bitsandbytes is not installed: pip install '.[qlora]'",
)
KINDS: list[Bits] = ["4bit", "8bit"]


def settings(bits: Bits, **fields: str) -> TrainSettings:
    return TrainSettings(
        learning_rate=2e-2,
        epochs=2,
        batch_size=4,
        checkpoint_steps=3,
        precision="float32",
        embeddings="markup",
        lora=LoraSettings.model_validate({"rank": 4, "quantize": bits, **fields}),
    )


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blocks of 64 weights share a scale, so that no layer may be narrower."""
    folder = with_think_tokens(tmp_path_factory.mktemp("qlora") / "base")
    config = load_model(folder).config
    config.update({"hidden_size": 64, "intermediate_size": 128, "head_dim": 32})
    torch.manual_seed(1)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_without_the_package_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe is refused as a whole, before its first step."""
    monkeypatch.setattr(quantized, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs bitsandbytes(.|\n)*exante\[qlora\]"):
        recipes.load("erpo", {"lora": {"rank": 8, "quantize": "4bit"}})


@needs_bitsandbytes
def test_a_device_that_the_package_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="does not work on meta"):
        quantized.require_quantization("4bit", "meta")


@needs_bitsandbytes
@pytest.mark.parametrize("bits", KINDS)
def test_weights_are_held_in_few_bits_and_the_adapter_is_not(policy: Path, bits: Bits) -> None:
    model = trainable(policy, load_chat(policy), settings(bits))
    frozen = model.get_base_model().model.layers[0].mlp.up_proj.base_layer.weight
    assert frozen.dtype == {"4bit": torch.uint8, "8bit": torch.int8}[bits]
    trained = [value for value in model.parameters() if value.requires_grad]
    assert {value.dtype for value in trained} == {torch.float32}


@needs_bitsandbytes
@pytest.mark.parametrize("bits", KINDS)
def test_fine_tuned_then_preferred_then_on_full_weights(
    policy: Path, tmp_path: Path, bits: Bits
) -> None:
    chat, how = load_chat(policy), settings(bits)
    first = fit_tokens(rows(chat), policy=policy, out=tmp_path / "sft", settings=how)
    assert first.lora is not None
    assert first.lora.moved is not None
    assert 1e-5 < first.lora.moved < 1.0
    sft = tmp_path / "sft/model"
    given = pairs(chat)
    options = {"policy": sft, "reference": sft, "loss": PairLoss(anchor=0.0)}
    merged = settings(bits, save="merged")
    second = fit_pairs(given, out=tmp_path / "dpo", settings=merged, **options)  # type: ignore[arg-type]
    assert second.reference == "forward pass"
    scored = read_jsonl(tmp_path / "dpo/scored.jsonl", Pair)
    assert {pair.scored_by for pair in scored} == {f"{weights_fingerprint(sft)} in {bits}"}
    log = [json.loads(x) for x in (tmp_path / "dpo/log.jsonl").read_text().splitlines()]
    assert math.isfinite(log[-1]["loss"])
    # Merged weights are full ones, and load as such.
    config = json.loads((tmp_path / "dpo/model/config.json").read_text())
    assert "quantization_config" not in config
    assert load_model(tmp_path / "dpo/model").dtype == torch.float32


@needs_bitsandbytes
def test_a_killed_training_continues_to_the_same_adapter(policy: Path, tmp_path: Path) -> None:
    given, how = rows(load_chat(policy)), settings("4bit")
    fit_tokens(given, policy=policy, out=tmp_path / "whole", settings=how)
    with pytest.raises(Killed):
        fit_tokens(given, policy=policy, out=tmp_path / "cut", settings=how, on_step=killer(5))
    fit_tokens(given, policy=policy, out=tmp_path / "cut", settings=how)
    files = [tmp_path / name / "model/adapter_model.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()


@needs_bitsandbytes
def test_patches_need_full_weights(tmp_path: Path) -> None:
    policy = tiny_model(tmp_path / "policy")
    with pytest.raises(InputError, match="a patch is made of full weights"):
        fit_weights(
            rows(load_chat(policy), 4), policy=policy, out=tmp_path, settings=settings("8bit")
        )
