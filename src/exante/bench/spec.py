"""What is measured: the model's shape, the data's lengths, the machine's share. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from exante.errors import unknown_name

Precision = Literal["float32", "bfloat16"]
Device = Literal["cpu", "cuda"]
Allocator = Literal["default", "kept", "no_mmap"]
"""glibc as installed; large blocks kept as exante sets it; everything kept, nothing mapped."""

LONGEST = 1024
"""TRL as installed cuts longer rows without a word; equal work means that nothing is cut."""


class Described(BaseModel):
    """Base of what the benchmark writes and reads: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Spec = TypeVar("Spec", bound=Described)


class Shape(Described):
    """A Llama, in numbers."""

    layers: int = Field(ge=1)
    hidden: int = Field(ge=8)
    heads: int = Field(ge=1)
    key_value_heads: int = Field(ge=1)
    intermediate: int = Field(ge=8)
    vocabulary: int = Field(ge=64)
    tied: bool = True
    """Is the head the input embedding?"""
    head_size: int | None = Field(default=None, ge=1)
    """Of one attention head; None divides `hidden` by `heads`."""

    @property
    def size_of_head(self) -> int:
        """Numbers in one attention head."""
        return self.head_size or self.hidden // self.heads


class TrainingSpec(Described):
    """One training to measure; two arms that get the same spec get the same work."""

    shape: Shape
    prompt_tokens: tuple[int, int]
    """Fewest and most tokens of a prompt; lengths are uniform between them."""
    response_tokens: tuple[int, int]
    """Fewest and most tokens of a response, its end-of-turn token included."""
    pairs_per_batch: int = Field(default=16, ge=1)
    """At most; groups are never torn apart."""
    batches: int = Field(ge=1)
    """Batches that are timed."""
    warmup: int = Field(ge=0)
    """Batches before, not timed: compilation, caches, first allocations."""
    responses: int = Field(default=2, ge=2)
    """Unique responses per prompt: 2 is plain pairs; the first is preferred to each other one."""
    length_grouped: bool = True
    """Are batches of similar length, for both arms?"""
    threads: int = Field(default=1, ge=1)
    device: Device = "cpu"
    precision: Precision = "float32"
    """Of the matrix products; weights and optimizer are float32 on both sides."""
    sweep: Literal["full", "short"] = "full"
    """How many of TRL's settings are tried: `short` varies the attention only, for tests."""
    compiled: bool = True
    """Does exante compile its layers? TRL is tried with and without."""
    beta: float = Field(default=0.1, gt=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    """Constant; large enough that losses move and a wrong gradient shows."""
    seed: int = 0

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        for fewest, most in (self.prompt_tokens, self.response_tokens):
            if not 2 <= fewest <= most:
                raise ValueError("token ranges are (fewest, most), and fewest is at least 2")
        if self.prompt_tokens[1] + self.response_tokens[1] > LONGEST:
            raise ValueError(f"prompt and response are longer than {LONGEST} tokens together")
        return self

    @property
    def pairs_per_group(self) -> int:
        """Pairs over the responses of one prompt."""
        return self.responses - 1

    @property
    def groups_per_batch(self) -> int:
        """Prompts of one batch."""
        return max(1, self.pairs_per_batch // self.pairs_per_group)

    @property
    def batch_pairs(self) -> int:
        """Pairs of one batch: whole groups only."""
        return self.groups_per_batch * self.pairs_per_group

    def but(self, **changes: Any) -> TrainingSpec:
        """The spec with some fields changed, checked anew."""
        return TrainingSpec.model_validate({**self.model_dump(), **changes})


_CPU_SHAPE = Shape(
    layers=8, hidden=256, heads=4, key_value_heads=4, intermediate=688, vocabulary=4096
)
_CPU = TrainingSpec(
    shape=_CPU_SHAPE,
    prompt_tokens=(20, 60),
    response_tokens=(50, 130),
    batches=8,
    # Three times over the timed batches: the heap grows until each of them has been met twice.
    warmup=24,
    threads=2,
    precision="bfloat16",
)
PRESETS = {
    "cpu": _CPU,
    "vocabulary": _CPU.but(shape={**_CPU_SHAPE.model_dump(), "vocabulary": 131_072}, warmup=8),
    "cuda": TrainingSpec(
        shape=Shape(
            layers=24,
            hidden=1024,
            heads=16,
            key_value_heads=8,
            intermediate=4096,
            vocabulary=131_072,
        ),
        prompt_tokens=(60, 400),
        response_tokens=(200, 600),
        batches=8,
        warmup=8,
        threads=8,
        device="cuda",
        precision="bfloat16",
    ),
    "tiny": TrainingSpec(
        shape=Shape(
            layers=2, hidden=32, heads=2, key_value_heads=1, intermediate=64, vocabulary=256
        ),
        prompt_tokens=(4, 8),
        response_tokens=(6, 12),
        pairs_per_batch=4,
        batches=2,
        warmup=1,
        precision="bfloat16",
        sweep="short",
        compiled=False,
        learning_rate=1e-3,
    ),
}
"""Names on the command line: cpu is a 7M-parameter model, cuda one of half a billion."""


def preset(name: str, presets: Mapping[str, Spec]) -> Spec:
    """The preset of that name.

    Raises:
        InputError: there is none.
    """
    if name not in presets:
        raise unknown_name("preset", name, presets, where="--preset")
    return presets[name]
