"""The sizes of a model that memory depends on, read off its config without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from exante.models.cache import token_bytes
from exante.models.footprint import Shape
from exante.models.lora_targets import linear_targets


def empty_model(config: Any) -> Any:
    """The model of a config without memory for its weights: shapes only."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def shape_in(config: Mapping[str, Any]) -> Shape:
    """The sizes of the model that a `config.json` describes.

    Raises:
        ValueError: transformers does not know it; other errors of its, for fields that do not fit.
    """
    return shape_of(empty_model(AutoConfig.for_model(**config)))


def shape_of(model: Any) -> Shape:
    """The sizes of a model, which may be empty."""
    config = model.config.get_text_config()
    hidden = int(config.hidden_size)
    heads = int(config.num_attention_heads)
    head = int(getattr(config, "head_dim", None) or hidden // heads)
    groups = int(getattr(config, "num_key_value_heads", None) or heads)
    tables = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    layer = next(iter(model.get_decoder().layers), None) if _has_layers(model) else None
    weights = [(n, p) for n, p in layer.named_parameters() if "norm" in n] if layer else []
    targets = tuple(linear_targets(model))
    return Shape(
        parameters=sum(p.numel() for p in model.parameters()),
        embedded=sum(p.numel() for p in {id(t): t for t in tables}.values()),
        vocabulary=len(tables[0]),
        hidden=hidden,
        inner=_inner(config, hidden),
        heads=heads,
        queries=heads * head,
        keys=groups * head,
        layers=int(config.num_hidden_layers),
        norms=sum(p.ndim == 1 and "attn." not in n for n, p in weights) or 2,
        normed_heads=any("q_norm" in n for n, _ in weights),
        cache=token_bytes(config, 1),
        adapted=sum(
            sum(module.weight.shape)
            for name, module in model.named_modules()
            if name and (name in targets or name.rpartition(".")[2] in targets)
        ),
    )


def _inner(config: Any, hidden: int) -> int:
    """Width of the feed-forward layers that a token goes through: of its experts together."""
    dense = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    chosen = getattr(config, "num_experts_per_tok", None)
    if not chosen:
        return int(dense or 4 * hidden)
    one = getattr(config, "moe_intermediate_size", None) or dense
    shared = getattr(config, "shared_expert_intermediate_size", None) or 0
    return int(chosen * (one or 4 * hidden) + shared)


def _has_layers(model: Any) -> bool:
    return hasattr(model.get_decoder(), "layers")
