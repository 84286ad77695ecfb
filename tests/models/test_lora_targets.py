"""Adapters go to attention and feed-forward layers, whatever a family calls them."""

from __future__ import annotations

import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.models.test_forward import ALONE, FAMILIES, SHAPE, model_of

from exante.models.lora_targets import linear_targets

SPLIT = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
EXPECTED = {
    "llama": SPLIT,
    "qwen3": SPLIT,
    "mistral, window of 4": SPLIT,
    "gemma2, capped": SPLIT,
    "gemma3": SPLIT,
    "olmo2": SPLIT,
    "phi3": ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"],
    # Its experts are one tensor each, not linear layers.
    "gpt-oss": ["k_proj", "o_proj", "q_proj", "v_proj"],
    "gpt2, learned positions": ["c_attn", "c_fc", "c_proj"],
}


@pytest.mark.parametrize("family", EXPECTED)
def test_the_layers_of_a_family(family: str) -> None:
    assert linear_targets(model_of(FAMILIES[family])) == EXPECTED[family]


def test_a_model_without_memory_will_do() -> None:
    with torch.device("meta"):
        assert linear_targets(model_of(FAMILIES["llama"])) == SPLIT


def test_peft_takes_them_and_nothing_else() -> None:
    model = model_of(FAMILIES["llama"])
    with warnings.catch_warnings():
        # PEFT reads an attribute that transformers is about to rename; theirs to mend.
        warnings.simplefilter("ignore", FutureWarning)
        adapted = get_peft_model(model, LoraConfig(r=2, target_modules=linear_targets(model)))
    names = {n.split(".lora_A")[0] for n, _ in adapted.named_parameters() if ".lora_A" in n}
    assert len(names) == 2 * len(SPLIT)
    assert not any("lm_head" in name or "embed" in name for name in names)


def test_a_name_that_also_stands_outside_the_layers_is_told_in_full() -> None:
    model = model_of(FAMILIES["llama"])
    model.q_proj = torch.nn.Linear(2, 2)
    found = linear_targets(model)
    assert "q_proj" not in found
    assert "model.layers.1.self_attn.q_proj" in found


def test_routers_get_no_adapter() -> None:
    fields = {**SHAPE, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8}
    model = model_of(("Qwen2MoeConfig", {**fields, "shared_expert_intermediate_size": 8}))
    assert "shared_expert_gate" not in linear_targets(model)
    assert {"q_proj", "down_proj"} <= set(linear_targets(model))


@pytest.mark.filterwarnings("ignore")
def test_other_architectures_have_theirs() -> None:
    assert "query_key_value" in linear_targets(model_of(ALONE["bloom, ALiBi"]))
