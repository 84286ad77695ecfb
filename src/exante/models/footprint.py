"""How much memory a model takes in training and sampling, from its shape and before it is loaded.

Pure arithmetic, and the only one there is: `exante model check` asks it for one device, and
`exante bench plan` for weights that are divided among many. What a layer keeps for the backward
pass was counted on layers of transformers, tensor by tensor. An estimate for layers with dense
attention and a gated feed-forward; others come out roughly.
"""

from __future__ import annotations

from dataclasses import dataclass

from exante.models.sample import CACHE_BYTES, FEWEST_ROWS, MOST_ROWS
from exante.objectives.logprobs import KEPT_BYTES, TILE_BYTES

FLOAT, HALF = 4, 2
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


def training(
    shape: Shape,
    device: str,
    *,
    tokens: int,
    width: int = 0,
    rank: int | None = None,
    fused: bool = True,
    divided: int = 1,
    recomputed: bool = False,
) -> Memory:
    """Most memory of one process in a training step on so many `tokens` of its own at once.

    With a `rank` only adapters of that rank are trained. Without `fused` attention, rows of `width`
    tokens keep its weights. Weights are float32, matrix products bfloat16 on a GPU. `divided` among
    so many processes, weights are gathered layer by layer; `recomputed` layers leave their inputs
    only.
    """
    half = device == "cuda"
    trained = shape.parameters if rank is None else rank * shape.adapted
    size = HALF if half else FLOAT
    logits = tokens * shape.vocabulary * size
    head = min(logits, KEPT_BYTES) + 3 * TILE_BYTES
    if rank is None and divided == 1:
        # Its gradient is summed in a table of its own, then added; divided, it is gathered's.
        head += shape.vocabulary * shape.hidden * FLOAT
    copies = _gathered(shape, size) if divided > 1 else _casts(shape) if half else 0
    held = shape.parameters + (0 if rank is None else trained)
    return Memory(
        {
            "weights": held * FLOAT // divided,
            "casts": copies,
            "gradients": trained * FLOAT // divided,
            "optimiser": trained * _ADAM // divided,
            "activations": tokens * _activations(shape, half, 0 if fused else width, recomputed)
            # Of one layer, on the way back.
            + tokens * (4 * shape.hidden + 3 * shape.inner) * size,
            "logits": head,
        }
    )


def sampling(shape: Shape, device: str, *, rows: int, prompt: int, new: int) -> Memory:
    """Most memory of sampling `rows` turns of up to `new` tokens behind prompts of `prompt`."""
    size = HALF if device == "cuda" else FLOAT
    column = (prompt + new) * token_bytes(shape, device)
    fits = rows if device == "cuda" else max(FEWEST_ROWS, CACHE_BYTES // column)
    held = min(rows, fits, MOST_ROWS)
    read = held * prompt * (4 * shape.hidden + 3 * shape.inner) * size
    return Memory(
        {
            "weights": weight_bytes(shape, device),
            "cache": held * column + held * prompt * token_bytes(shape, device),
            "prompts": read,
            "logits": 4 * held * shape.vocabulary * FLOAT,
        }
    )


def weight_bytes(shape: Shape, device: str) -> int:
    """Of a copy that samples or scores."""
    return shape.parameters * (HALF if device == "cuda" else FLOAT)


def token_bytes(shape: Shape, device: str) -> int:
    """What one token leaves in the cache of such a copy."""
    return shape.cache * (HALF if device == "cuda" else FLOAT)


def _casts(shape: Shape) -> int:
    """The copy in which products are done; tables are looked up, and cast in tiles."""
    return (shape.parameters - shape.embedded) * HALF


def _gathered(shape: Shape, size: int) -> int:
    """Two layers and the tables, whole, and the gradient of a layer and a table before division."""
    layer = (shape.parameters - shape.embedded) // shape.layers
    table = shape.vocabulary * shape.hidden
    return size * (2 * layer + shape.embedded) + FLOAT * (layer + table)


def _activations(shape: Shape, half: bool, plain: int, recomputed: bool) -> int:
    """Bytes of one token that all layers keep for the backward pass.

    Layers that are computed again leave their inputs, and one of them is there whole.
    """
    kept = _kept(shape, half, plain)
    return shape.layers * FLOAT * shape.hidden + kept if recomputed else shape.layers * kept


def _kept(shape: Shape, half: bool, plain: int) -> int:
    """The same of one layer; `plain` is the width of rows whose attention is not fused, or 0."""
    hidden = 4 * (2 + 2 * shape.norms) + (shape.norms if half else 0)
    queries, keys = (8, 0) if half else (16, 0)
    if shape.normed_heads:
        queries, keys = (14, 6) if half else (24, 8)
    kept = hidden * shape.hidden + queries * shape.queries + keys * shape.keys
    kept += (8 if half else 16) * shape.inner
    if plain:
        # Plain attention keeps its weights, and a mask; the fused one keeps neither.
        kept += FLOAT * plain * (shape.heads + 1)
    return kept
