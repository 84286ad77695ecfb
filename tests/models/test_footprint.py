"""The memory estimate against what a training and a sampling really take."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.commands import python
from tests.models.test_forward import FAMILIES, model_of
from tests.tiny import tiny_model

from exante.models.cache import token_bytes
from exante.models.footprint import Shape, sampling, training
from exante.models.forward import choose_attention, response_logprobs_of
from exante.models.load import load_chat, load_model
from exante.models.memory import peak_bytes, reset_peak, status_bytes
from exante.models.packed import Group, pack
from exante.models.sample import Request, SamplingSettings, sample
from exante.models.shapes import empty_model, shape_of

FACTOR = 1.5
"""By which an estimate may miss what was measured, either way."""
KINDS = ("llama", "grouped queries", "qwen3", "gemma2, capped", "gemma3", "phi3", "olmo2")


def kept(model: object, inputs: dict[str, torch.Tensor]) -> int:
    """Bytes of all tensors that a forward pass keeps for the backward pass, weights left out."""
    own = {p.untyped_storage()._cdata for p in model.parameters()}  # type: ignore[attr-defined]
    found: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            found[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        response_logprobs_of(model, **inputs, shared=True)
    return sum(storage.nbytes() for storage in found.values())


@pytest.mark.parametrize("family", KINDS)
def test_activations_are_those_that_a_forward_pass_keeps(family: str) -> None:
    name, fields = FAMILIES[family]
    larger = {**fields, "hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4}
    larger |= {"head_dim": 16, "num_key_value_heads": 2, "num_hidden_layers": 4}
    if "layer_types" in larger:
        larger["layer_types"] = [*larger["layer_types"] * 2]
    model = model_of((name, larger)).train()
    packed = pack([Group((3, 4), (tuple(range(5, 60)),))] * 8, 0)
    choose_attention(model, packed.ids.shape[1])
    tokens, width = packed.ids.numel(), packed.ids.shape[1]
    whole = training(shape_of(model), "cpu", tokens=tokens, width=width, fused=False)
    told = whole.parts["activations"]
    assert told / FACTOR < kept(model, packed.inputs()) < told * FACTOR


def steps(width: int, inputs: dict[str, torch.Tensor]) -> tuple[Any, torch.optim.AdamW]:
    """Two steps of a new model."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=4000,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=4,
        num_attention_heads=4,
        pad_token_id=None,
    )
    model: Any = transformers.AutoModelForCausalLM.from_config(config).float().train()
    choose_attention(model, inputs["ids"].shape[1])
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for _ in range(2):
        adam.zero_grad()
        (-response_logprobs_of(model, **inputs, shared=True).mean()).backward()
        adam.step()
    return model, adam


def test_the_peak_of_a_training_step_is_the_estimate() -> None:
    """In a process of its own: one that has trained before takes memory that it kept."""
    done = python(__file__)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if found is None:
        pytest.skip("this system does not tell the peak of a process")
    told = found["told"]
    assert told["total"] / FACTOR < found["measured"] < told["total"] * FACTOR
    assert (told["optimiser"], told["gradients"]) == (found["moments"], found["gradients"])


def measure() -> dict[str, Any] | None:
    """Bytes told and measured, of two steps of a training; None where they cannot be."""
    packed = pack([Group((3, 4), (tuple(range(5, 130)),))] * 16, 0)
    # Kernels are loaded once, and stay.
    steps(16, packed.inputs())
    before = status_bytes("VmRSS")
    if not reset_peak("cpu"):
        return None
    model, adam = steps(256, packed.inputs())
    measured = peak_bytes("cpu") - before
    tokens, width = packed.ids.numel(), packed.ids.shape[1]
    told = training(shape_of(model), "cpu", tokens=tokens, width=width, fused=False)
    moments = [t for state in adam.state.values() for t in state.values() if t.ndim]
    return {
        "told": {**told.parts, "total": told.total},
        "measured": measured,
        "moments": sum(t.nbytes for t in moments),
        "gradients": sum(p.grad.nbytes for p in model.parameters()),
    }


def test_the_cache_is_what_the_sampler_takes(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    model, chat = load_model(folder), load_chat(folder)
    told = sampling(shape_of(model), "cpu", rows=6, prompt=5, new=7).parts["cache"]
    assert told == (6 * 12 + 6 * 5) * token_bytes(model.config, 4)
    requests = [Request(str(i), (5, 6, 7, 8, 9)) for i in range(6)]
    assert len(list(sample(model, chat, requests, SamplingSettings(max_new_tokens=7)))) == 6


def test_an_empty_model_has_the_shape_of_a_full_one() -> None:
    for family in ("llama", "gemma3", "gpt-oss", "gpt2, learned positions"):
        full = model_of(FAMILIES[family])
        assert shape_of(empty_model(full.config)) == shape_of(full)


def test_adapters_need_no_gradients_of_what_they_adapt() -> None:
    shape = shape_of(model_of(FAMILIES["llama"]))
    whole = training(shape, "cpu", tokens=64, width=64)
    adapted = training(shape, "cpu", tokens=64, width=64, rank=2)
    width, inner, layers = 32, 48, 2
    rank_one = layers * (4 * (width + width) + 3 * (width + inner))
    assert adapted.parts["gradients"] == 4 * 2 * rank_one
    assert adapted.parts["activations"] == whole.parts["activations"]
    wide = dataclasses.replace(shape, parameters=shape.parameters * 9)
    assert (
        training(wide, "cuda", tokens=64, width=64, rank=2).total
        < training(wide, "cuda", tokens=64, width=64).total
    )


def test_division_spares_what_is_divided_and_gathers_a_part() -> None:
    """By hand: two layers of 4 hidden, 8 inner, one head; 100 parameters a layer, table 10 x 4."""
    tables, layer = 2 * 40, 100
    shape = Shape(
        parameters=2 * layer + tables,
        embedded=tables,
        vocabulary=10,
        hidden=4,
        inner=8,
        heads=1,
        queries=4,
        keys=4,
        layers=2,
        norms=2,
        normed_heads=False,
        cache=16,
        adapted=50,
    )
    one = training(shape, "cuda", tokens=6).parts
    four = training(shape, "cuda", tokens=6, divided=4, recomputed=True).parts
    assert (one["weights"], one["gradients"], one["optimiser"]) == (1120, 1120, 2240)
    assert (four["weights"], four["gradients"], four["optimiser"]) == (280, 280, 560)
    assert one["casts"] == 2 * 2 * layer
    assert four["casts"] == 2 * (2 * layer + tables) + 4 * (layer + 40)
    kept = 26 * 4 + 8 * 4 + 8 * 8
    back = (4 * 4 + 3 * 8) * 2
    assert one["activations"] == 6 * (2 * kept + back)
    assert four["activations"] == 6 * (2 * 4 * 4 + kept + back)


if __name__ == "__main__":
    print(json.dumps(measure()))
