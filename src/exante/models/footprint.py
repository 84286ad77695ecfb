"""How much memory a model takes in training and sampling, from its shape and before it is loaded.

What a layer keeps for the backward pass was counted on layers of transformers, tensor by tensor.
An estimate for layers with dense attention and a gated feed-forward; others come out roughly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from exante.models.cache import token_bytes
from exante.models.forward import WIDEST_EAGER
from exante.models.lora_targets import linear_targets
from exante.models.sample import CACHE_BYTES, FEWEST_ROWS, MOST_ROWS
from exante.objectives.logprobs import KEPT_BYTES, TILE_BYTES

_FLOAT, _HALF = 4, 2
_ADAM = 8
"""Bytes of both moments, per parameter that is trained."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes that memory depends on: counts of numbers, not of bytes."""

    parameters: int
    embedded: int
    """Parameters of the input embeddings, of the output's too unless they are the same."""
    vocabulary: int
    """Rows of the embeddings."""
    hidden: int
    inner: int
    """Width of the feed-forward layers that one token goes through."""
    heads: int
    queries: int
    """Width of all queries of a token."""
    keys: int
    layers: int
    norms: int
    """Norms of a layer over the hidden width."""
    normed_heads: bool
    """Are queries and keys normed, too?"""
    cache: int
    """Numbers that one token leaves in the cache."""
    adapted: int
    """Inputs and outputs of all layers that get an adapter: its parameters at rank 1."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by what they are for."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.parts.values())


def empty_model(config: Any) -> Any:
    """The model of a config without memory for its weights: shapes only."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


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


def training(
    shape: Shape,
    device: str,
    *,
    tokens: int,
    width: int,
    rank: int | None = None,
    fused: bool = True,
) -> Memory:
    """Most memory of a training step on so many tokens at once, in rows of `width`.

    With a `rank` only adapters of that rank are trained. `fused` tells whether the model has fused
    attention, which short rows on a CPU leave aside. Weights are float32, matrix products
    bfloat16 on a GPU.
    """
    half = device == "cuda"
    trained = shape.parameters if rank is None else rank * shape.adapted
    size = _HALF if half else _FLOAT
    logits = tokens * shape.vocabulary * size
    head = min(logits, KEPT_BYTES) + 3 * TILE_BYTES
    if rank is None:
        # Its gradient is summed in a table of its own, then added.
        head += shape.vocabulary * shape.hidden * _FLOAT
    return Memory(
        {
            "weights": (shape.parameters + (0 if rank is None else trained)) * _FLOAT,
            "casts": (shape.parameters - shape.embedded) * _HALF if half else 0,
            "gradients": trained * _FLOAT,
            "optimiser": trained * _ADAM,
            "activations": tokens * shape.layers * _kept(shape, half, width, fused)
            # Of one layer, on the way back.
            + tokens * (4 * shape.hidden + 3 * shape.inner) * size,
            "logits": head,
        }
    )


def sampling(shape: Shape, device: str, *, rows: int, prompt: int, new: int) -> Memory:
    """Most memory of sampling `rows` turns of up to `new` tokens behind prompts of `prompt`."""
    size = _HALF if device == "cuda" else _FLOAT
    column = (prompt + new) * shape.cache * size
    fits = rows if device == "cuda" else max(FEWEST_ROWS, CACHE_BYTES // column)
    held = min(rows, fits, MOST_ROWS)
    read = held * prompt * (4 * shape.hidden + 3 * shape.inner) * size
    return Memory(
        {
            "weights": shape.parameters * size,
            "cache": held * column + held * prompt * shape.cache * size,
            "prompts": read,
            "logits": 4 * held * shape.vocabulary * _FLOAT,
        }
    )


def _kept(shape: Shape, half: bool, width: int, fused: bool) -> int:
    """Bytes that one layer keeps of one token for the backward pass."""
    hidden = 4 * (2 + 2 * shape.norms) + (shape.norms if half else 0)
    queries, keys = (8, 0) if half else (16, 0)
    if shape.normed_heads:
        queries, keys = (14, 6) if half else (24, 8)
    kept = hidden * shape.hidden + queries * shape.queries + keys * shape.keys
    kept += (8 if half else 16) * shape.inner
    if not fused or (not half and width <= WIDEST_EAGER):
        # Plain attention keeps its weights, and a mask; the fused one keeps neither.
        kept += _FLOAT * width * (shape.heads + 1)
    return kept


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
