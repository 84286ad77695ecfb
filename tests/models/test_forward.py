"""Shared rows give the log-probs and gradients of plain ones, for every family that can share."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from exante.models.adapters import Shape, chosen_targets, fresh, merged
from exante.models.compiled import compile_layers, compiler_works, worth_compiling
from exante.models.forward import can_share, choose_attention, response_logprobs_of, scoring
from exante.models.packed import Group, pack
from exante.objectives.logprobs import response_sums

VOCABULARY = 96
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
BOTH = ["sliding_attention", "full_attention"]
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", SHAPE),
    "grouped queries": ("LlamaConfig", {**SHAPE, "num_key_value_heads": 1}),
    "qwen2": ("Qwen2Config", SHAPE),
    "qwen3": ("Qwen3Config", {**SHAPE, "head_dim": 16}),
    "mistral, window of 4": ("MistralConfig", {**SHAPE, "sliding_window": 4}),
    "gemma2, capped": ("Gemma2Config", {**SHAPE, "head_dim": 16, "sliding_window": 4}),
    "gemma3": (
        "Gemma3TextConfig",
        {**SHAPE, "head_dim": 16, "sliding_window": 4, "layer_types": BOTH},
    ),
    "phi3": ("Phi3Config", SHAPE),
    "olmo2": ("Olmo2Config", SHAPE),
    "granite, scaled": ("GraniteConfig", {**SHAPE, "logits_scaling": 4.0}),
    "gpt-oss": (
        "GptOssConfig",
        {
            **SHAPE,
            "head_dim": 16,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "sliding_window": 4,
            "layer_types": BOTH,
        },
    ),
    "qwen3-moe": (
        "Qwen3MoeConfig",
        {**SHAPE, "head_dim": 16, "num_experts": 4, "moe_intermediate_size": 16}
        | {"num_experts_per_tok": 2},
    ),
    "mixtral": ("MixtralConfig", {**SHAPE, "num_local_experts": 2, "num_experts_per_tok": 1}),
    "olmo3, mixed layers": (
        "Olmo3Config",
        {**SHAPE, "sliding_window": 4, "layer_types": BOTH},
    ),
    "smollm3, a layer without positions": (
        "SmolLM3Config",
        {**SHAPE, "no_rope_layers": [1, 0]},
    ),
    "cohere2, parallel blocks": (
        "Cohere2Config",
        {**SHAPE, "head_dim": 16, "sliding_window": 4, "layer_types": BOTH, "logit_scale": 0.25},
    ),
    "phi, partial rotation": ("PhiConfig", SHAPE),
    "llama 3, scaled rotation": (
        "LlamaConfig",
        {
            **SHAPE,
            "max_position_embeddings": 128,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        },
    ),
    "gpt2, learned positions": (
        "GPT2Config",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 2}
        | {"bos_token_id": 1, "eos_token_id": 2},
    ),
}
ALONE: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom, ALiBi": (
        "BloomConfig",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 2},
    ),
    "mamba, a state": (
        "MambaConfig",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2},
    ),
}


def model_of(family: tuple[str, dict[str, Any]], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    name, fields = family
    config = getattr(transformers, name)(**fields)
    return transformers.AutoModelForCausalLM.from_config(config).float().eval()


def groups(*lengths: tuple[int, ...], seed: int = 1) -> list[Group]:
    dice = torch.Generator().manual_seed(seed)

    def some(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (count,), generator=dice).tolist())

    return [Group(some(prompt), tuple(map(some, responses))) for prompt, *responses in lengths]


def one_by_one(model: Any, asked: list[Group]) -> list[float]:
    """What plain transformers says, a row at a time."""
    found = []
    for group in asked:
        for response in group.responses:
            ids = torch.tensor([group.prompt + response])
            logprobs = model(input_ids=ids).logits[0].float().log_softmax(-1)
            start = len(group.prompt) - 1
            found += [logprobs[start + i, t].item() for i, t in enumerate(response)]
    return found


ASKED = groups((9, 7, 12), (6, 3, 1), (1, 4))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_shared_rows_say_what_plain_rows_say(family: str, attention: str) -> None:
    model = model_of(FAMILIES[family])
    try:
        model.set_attn_implementation(attention)
    except ValueError:
        model.set_attn_implementation("eager")
    assert can_share(model)
    with torch.no_grad():
        found = response_logprobs_of(model, **pack(ASKED, 0).inputs(), shared=True)
        assert found.tolist() == pytest.approx(one_by_one(model, ASKED), abs=1e-5)


def adapted(family: tuple[str, dict[str, Any]], tokens: tuple[int, ...] = (5, 9)) -> Any:
    """The model with an adapter on all suitable layers and some words, none of which is idle."""
    model = model_of(family)
    shape = Shape(4, 8, chosen_targets(model, None), tokens)
    model = fresh(model, shape, dropout=0.0, seed=0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name or "trainable_tokens" in name:
                value.add_(torch.randn_like(value) * 0.1)
    return model


@pytest.mark.parametrize("width", [64, 4096])
@pytest.mark.parametrize("family", [name for name in FAMILIES if not name.startswith("gpt2")])
def test_adapters_say_in_shared_rows_what_they_say_in_plain_ones(family: str, width: int) -> None:
    model = adapted(FAMILIES[family])
    choose_attention(model, width)
    assert can_share(model)
    with torch.no_grad():
        found = response_logprobs_of(model, **pack(ASKED, 0).inputs(), shared=True).tolist()
        assert found == pytest.approx(one_by_one(model, ASKED), abs=1e-5)
        plain = one_by_one(model_of(FAMILIES[family]), ASKED)
        assert found != pytest.approx(plain, abs=1e-2)
        assert found == pytest.approx(one_by_one(merged(model), ASKED), abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma2, capped", "gemma3"])
def test_adapters_get_the_gradients_of_plain_rows(family: str) -> None:
    model = adapted(FAMILIES[family])
    found = []
    for shared in (True, False):
        model.zero_grad()
        inputs = pack(ASKED, 0, shared=shared).inputs()
        response_logprobs_of(model, **inputs, shared=shared).square().sum().backward()
        slopes = [p.grad.flatten() for p in model.parameters() if p.requires_grad]
        found.append(torch.cat(slopes))
    assert float(found[0].norm()) > 0
    assert float((found[0] - found[1]).norm()) <= 1e-5 * float(found[1].norm())


@pytest.mark.parametrize("family", ALONE)
@pytest.mark.filterwarnings("ignore")
def test_families_that_cannot_share_get_plain_rows(family: str) -> None:
    model = model_of(ALONE[family])
    assert not can_share(model)
    with torch.no_grad():
        rows = pack(ASKED, 0, shared=False)
        found = response_logprobs_of(model, **rows.inputs(), shared=False)
        assert found.tolist() == pytest.approx(one_by_one(model, ASKED), abs=1e-4)


LLAMA = model_of(FAMILIES["llama"])
with warnings.catch_warnings():
    # PEFT reads an attribute that transformers is about to rename; theirs to mend.
    warnings.simplefilter("ignore", FutureWarning)
    LORA = get_peft_model(
        model_of(FAMILIES["llama"]),
        LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
    )


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(
        st.tuples(st.integers(1, 20), st.lists(st.integers(1, 25), min_size=1, max_size=4)),
        min_size=1,
        max_size=5,
    ),
    adapter=st.booleans(),
    multiple=st.sampled_from([1, 8, 16]),
)
def test_losses_and_gradients_do_not_depend_on_the_layout(
    lengths: list[tuple[int, list[int]]], adapter: bool, multiple: int
) -> None:
    model = LORA if adapter else LLAMA
    asked = groups(*((prompt, *responses) for prompt, responses in lengths))
    count = sum(len(group.responses) for group in asked)
    found = []
    for shared in (True, False):
        packed = pack(asked, 0, shared=shared, multiple=multiple)
        model.zero_grad()
        sums = response_sums(
            response_logprobs_of(model, **packed.inputs(), shared=shared), packed.owners, count
        )
        loss = -torch.nn.functional.logsigmoid(0.1 * (sums - sums.mean())).mean()
        loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append((loss.item(), torch.cat([g.flatten() for g in gradients])))
    (a, ours), (b, plain) = found
    assert a == pytest.approx(b, rel=1e-5)
    assert float((ours - plain).norm()) <= 1e-5 * float(plain.norm()) + 1e-9


def test_a_call_gives_log_probs_within_and_logits_without() -> None:
    model = model_of(FAMILIES["llama"])
    inputs = pack(ASKED, 0).inputs()
    with scoring(model, shared=True):
        assert model(**inputs).shape == inputs["targets"].shape
    assert model(input_ids=torch.tensor([[3, 4]])).logits.shape == (1, 2, VOCABULARY)


def test_a_model_that_reads_places_instead_of_positions_is_found_out() -> None:
    model = model_of(FAMILIES["llama"])
    decoder = model.get_decoder()
    given = decoder.forward
    decoder.forward = lambda position_ids=None, **rest: given(**rest)
    assert not can_share(model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_layers_that_are_compiled_compute_the_same() -> None:
    model = model_of(FAMILIES["llama"])
    if not compiler_works("cpu"):
        assert not worth_compiling(model, 1e12)
        pytest.skip("no tool chain of torch.compile's works here: nothing could be compiled")
    with torch.no_grad():
        inputs = pack(ASKED, 0).inputs()
        before = response_logprobs_of(model, **inputs, shared=True)
        assert compile_layers(model) == 2
        after = response_logprobs_of(model, **inputs, shared=True)
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_broken_tool_chain_leaves_layers_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Python.h: No such file or directory")

    monkeypatch.setattr(torch, "compile", broken)
    compiler_works.cache_clear()
    try:
        assert not worth_compiling(model_of(FAMILIES["qwen2"]), 1e12)
    finally:
        compiler_works.cache_clear()
