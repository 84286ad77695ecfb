"""The least arithmetic a training step can do, however it is written. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exante.bench.data import groups_of
from exante.bench.spec import Shape
from exante.records import Pair

PRODUCTS = 3
"""Of a weight in training: forward, gradient of the input and of the weight; as many FLOPs each."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A weight that tokens are multiplied with."""

    inner: int
    columns: int
    count: int
    """How many of this shape the model has."""
    scored_only: bool = False
    """Is it the head, which only sees positions that predict a response token?"""

    @property
    def parameters(self) -> int:
        """Numbers in all weights of this shape."""
        return self.inner * self.columns * self.count


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens of one or several steps, nothing computed twice."""

    run: float
    """Tokens that pass the layers: each prompt once, of each response all but its last token."""
    scored: float
    """Response tokens, each of which needs a row of logits."""
    seen: float
    """Sum over tokens of how many earlier ones they attend to."""


def linears(shape: Shape) -> list[Linear]:
    """Every matrix of the model; the embedding is looked up and costs nothing."""
    wide = shape.size_of_head * shape.heads
    narrow = shape.size_of_head * shape.key_value_heads
    return [
        Linear(shape.hidden, wide, 2 * shape.layers),
        Linear(shape.hidden, narrow, 2 * shape.layers),
        Linear(shape.hidden, shape.intermediate, 2 * shape.layers),
        Linear(shape.intermediate, shape.hidden, shape.layers),
        Linear(shape.hidden, shape.vocabulary, 1, scored_only=True),
    ]


def least_work(batches: Sequence[Sequence[Pair]]) -> Work:
    """What all batches together need; a response is shared by the pairs of its own batch only."""
    run = scored = seen = 0.0
    for batch in batches:
        for group in groups_of(batch):
            prompt = len(group.prompt)
            run += prompt
            seen += prompt**2 / 2
            for response in group.responses:
                steps = len(response) - 1
                run += steps
                scored += len(response)
                seen += steps * (prompt + steps / 2)
    return Work(run, scored, seen)


def linear_flops(linear: Linear, work: Work) -> float:
    """FLOPs of all matrices of this shape, forward and backward."""
    return 2 * PRODUCTS * linear.parameters * (work.scored if linear.scored_only else work.run)


def step_flops(shape: Shape, work: Work) -> float:
    """FLOPs of layers, head and attention, forward and backward; nothing is computed twice."""
    attention = 4 * PRODUCTS * shape.layers * shape.size_of_head * shape.heads * work.seen
    return sum(linear_flops(linear, work) for linear in linears(shape)) + attention
