"""What a run costs on a cluster, on paper: arithmetic, memory and GPU-hours of each stage. Pure.

It counts what the engine does (`bench.floor`); what it keeps is `models.footprint`'s matter, here
with weights divided among GPUs. How much of a machine's peak is reached is an assumption that the
first hour of a run replaces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from exante.bench.floor import PRODUCTS, Work, linears, step_flops
from exante.bench.spec import Shape
from exante.errors import InputError, fault_in
from exante.models import footprint

_FREE = 0.9
"""Share of a GPU's memory that is planned with."""
_MOST_ROWS = 256
"""Turns that a server decodes together in one replica."""

_llama = partial(Shape, key_value_heads=8, vocabulary=128_256, tied=False)
SHAPES = {
    "8b": _llama(layers=32, hidden=4096, heads=32, intermediate=14_336),
    "70b": _llama(layers=80, hidden=8192, heads=64, intermediate=28_672),
}
"""Of Llama 3.1, from the published configs."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device by its data sheet."""

    flops: float
    """Per second, dense bfloat16 products."""
    bandwidth: float
    """Bytes per second."""
    memory: float
    """Bytes."""


GPUS = {"h100": Gpu(989e12, 3.35e12, 80e9), "h200": Gpu(989e12, 4.8e12, 141e9)}
"""SXM modules, from NVIDIA's data sheets."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a run sends through the model."""

    prompts: int = 10_000
    """Training prompts."""
    prompt_tokens: int = 200
    response_tokens: int = 400
    """Trace and answer."""
    samples: int = 4
    """Turns per prompt in each round, which pairs are made of."""
    passes: int = 2
    """Of supervised training."""
    rounds: int = 3
    """One of preference, the others of shortening."""
    tested: int = 20_000
    """Turns sampled and judged at the end, attacks and models together."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Shares of a device's peak."""

    training: float = 0.35
    """Of its products, in training."""
    scoring: float = 0.5
    """Of its products, in forward passes."""
    decoding: float = 0.5
    """Of its bandwidth."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One stage of a plan."""

    stage: str
    tokens: float
    """That go through the model, or are sampled."""
    flops: float
    hours: float
    """Of one GPU: the same whatever their number, as far as work divides."""


def shape_of(config: Mapping[str, Any], *, where: str) -> Shape:
    """The shape in a model's `config.json`; `where` is its name in messages.

    Raises:
        InputError: it is none of a dense transformer with gated feed-forward layers.
    """
    try:
        heads = config["num_attention_heads"]
        return Shape(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            heads=heads,
            key_value_heads=config.get("num_key_value_heads") or heads,
            head_size=config.get("head_dim"),
            intermediate=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except KeyError as error:
        problem = f"has no {error}"
    except ValidationError as error:
        problem = fault_in(error)
    raise InputError(
        f"no config of a dense transformer: {problem}",
        where=where,
        fix="give a model like Llama, Mistral or Qwen, without experts",
    )


def parameters(shape: Shape) -> int:
    """Numbers in all weights, norms included."""
    table = shape.vocabulary * shape.hidden
    products = sum(linear.parameters for linear in linears(shape))
    return products + (0 if shape.tied else table) + (2 * shape.layers + 1) * shape.hidden


def rows_work(rows: float, prompt: int, response: int, responses: int = 1) -> Work:
    """Groups of one prompt with so many responses, each computed once."""
    steps = response - 1
    return Work(
        run=rows * (prompt + responses * steps),
        scored=rows * responses * response,
        seen=rows * (prompt**2 / 2 + responses * steps * (prompt + steps / 2)),
    )


def training_flops(shape: Shape, work: Work, *, recomputed: bool) -> float:
    """Of forward and backward passes; `recomputed` layers go forward twice."""
    whole = step_flops(shape, work)
    return whole + _in_layers(shape, work) if recomputed else whole


def scoring_flops(shape: Shape, work: Work) -> float:
    """Of forward passes."""
    return step_flops(shape, work) / PRODUCTS


def sizes(shape: Shape) -> footprint.Shape:
    """What memory depends on, of a Llama of these numbers."""
    table = shape.vocabulary * shape.hidden
    layers = [linear for linear in linears(shape) if not linear.scored_only]
    return footprint.Shape(
        parameters=parameters(shape),
        embedded=table if shape.tied else 2 * table,
        vocabulary=shape.vocabulary,
        hidden=shape.hidden,
        inner=shape.intermediate,
        heads=shape.heads,
        queries=shape.heads * shape.size_of_head,
        keys=_narrow(shape),
        layers=shape.layers,
        norms=2,
        normed_heads=False,
        cache=2 * shape.layers * _narrow(shape),
        adapted=sum(linear.count * (linear.inner + linear.columns) for linear in layers),
    )


def training_bytes(held: footprint.Shape, tokens: int, gpus: int) -> int:
    """Most memory of a GPU that runs `tokens` at once; one alone computes nothing again."""
    several = gpus > 1
    return footprint.training(held, "cuda", tokens=tokens, divided=gpus, recomputed=several).total


def fewest_gpus(held: footprint.Shape, gpu: Gpu, tokens: int) -> int:
    """GPUs whose memory holds a training: one, or whole machines of eight with divided weights.

    Raises:
        InputError: no number of them does.
    """
    counts: list[int] = [1, *range(8, 8000, 8)]
    for count in counts:
        if training_bytes(held, tokens, count) <= _FREE * gpu.memory:
            return count
    raise InputError(
        f"{tokens} tokens at once fit into no number of these GPUs",
        where="--tokens",
        fix="run fewer of them at once (train.batch_tokens), or take GPUs with more memory",
    )


def tokens_that_hide_exchange(shape: Shape, gpu: Gpu, network: float, reached: Reached) -> float:
    """Tokens of a process at once from which computing takes longer than exchanging weights.

    Divided weights come in twice and their gradients go out once, 2 bytes each; `network` is in
    bytes per second and GPU.
    """
    exchange = 3 * 2 * parameters(shape) / network
    one = training_flops(shape, Work(1, 1, 0), recomputed=True)
    return exchange * gpu.flops * reached.training / one


def replica(shape: Shape, gpu: Gpu) -> int:
    """GPUs that share one copy for sampling: a power of two whose memory is half free of it."""
    needed = footprint.weight_bytes(sizes(shape), "cuda") / (_FREE * gpu.memory / 2)
    return 1 << max(0, math.ceil(math.log2(needed)))


def decoding_rate(shape: Shape, gpu: Gpu, context: float, reached: Reached) -> float:
    """Tokens per second and GPU while sampling: each step reads the weights and all keys."""
    count, held = replica(shape, gpu), sizes(shape)
    weights = footprint.weight_bytes(held, "cuda")
    per_token = footprint.token_bytes(held, "cuda")
    room = _FREE * gpu.memory * count - weights
    rows = min(_MOST_ROWS, room // (per_token * context * 2))
    read = weights + rows * per_token * context
    return float(rows * gpu.bandwidth * reached.decoding / read)


def plan(
    shape: Shape, guard: Shape, load: Load, gpu: Gpu, reached: Reached, *, recomputed: bool = True
) -> Iterator[Cost]:
    """The stages of ERPO with what each costs; the judge is a `guard` model."""
    lengths = load.prompt_tokens, load.response_tokens
    taught = rows_work(load.prompts * load.passes, *lengths)
    yield _trained("sft", shape, taught, gpu, reached, recomputed)
    turns = load.prompts * load.samples
    groups = rows_work(load.prompts, *lengths, responses=load.samples)
    each = [
        _sampled("sample", shape, turns, load, gpu, reached),
        _scored("judge", guard, rows_work(turns, *lengths), gpu, reached),
        _scored("reference log-probs", shape, groups, gpu, reached),
        _trained("prefer", shape, groups, gpu, reached, recomputed),
    ]
    for cost in each:
        name = f"{cost.stage}, {load.rounds} rounds"
        n = load.rounds
        yield Cost(name, n * cost.tokens, n * cost.flops, n * cost.hours)
    yield _sampled("evaluation: sample", shape, load.tested, load, gpu, reached)
    yield _scored("evaluation: judge", guard, rows_work(load.tested, *lengths), gpu, reached)


def _trained(
    stage: str, shape: Shape, work: Work, gpu: Gpu, reached: Reached, recomputed: bool
) -> Cost:
    flops = training_flops(shape, work, recomputed=recomputed)
    return Cost(stage, work.run, flops, flops / (gpu.flops * reached.training) / 3600)


def _scored(stage: str, shape: Shape, work: Work, gpu: Gpu, reached: Reached) -> Cost:
    flops = scoring_flops(shape, work)
    return Cost(stage, work.run, flops, flops / (gpu.flops * reached.scoring) / 3600)


def _sampled(stage: str, shape: Shape, turns: int, load: Load, gpu: Gpu, reached: Reached) -> Cost:
    work = rows_work(turns, load.prompt_tokens, load.response_tokens)
    read = scoring_flops(shape, Work(turns * load.prompt_tokens, 0, 0))
    tokens = turns * load.response_tokens
    context = load.prompt_tokens + load.response_tokens / 2
    seconds = read / (gpu.flops * reached.scoring)
    seconds += tokens / decoding_rate(shape, gpu, context, reached)
    return Cost(stage, tokens, scoring_flops(shape, work), seconds / 3600)


def _in_layers(shape: Shape, work: Work) -> float:
    """FLOPs of a forward pass without the head."""
    return step_flops(shape, Work(work.run, 0, work.seen)) / PRODUCTS


def _narrow(shape: Shape) -> int:
    return shape.key_value_heads * shape.size_of_head
