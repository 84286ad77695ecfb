"""How long, how fast and how carefully to train."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from exante.models.devices import default_device
from exante.models.quantized import Bits, require_quantization


class LoraSettings(BaseModel):
    """Training low-rank matrices beside frozen weights (LoRA, arXiv 2106.09685; docs/lora.md)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    rank: int = Field(default=16, ge=1)
    """Width of the two matrices beside each layer."""
    alpha: int | None = Field(default=None, ge=1)
    """Their product is scaled by this over the rank; None is twice the rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of a layer's inputs that its matrices do not see. Above 0, a loss depends on how a
    batch is split."""
    targets: Literal["auto"] | tuple[str, ...] = "auto"
    """Names of layers; `auto` takes every linear one of attention and feed-forward."""
    quantize: Bits | None = None
    """Hold the frozen weights in so few bits (QLoRA, arXiv 2305.14314); needs the extra `qlora`."""
    save: Literal["adapter", "merged"] = "adapter"
    """What a step leaves: the matrices and the name of their base, or whole weights."""

    @field_validator("quantize")
    @classmethod
    def _works_here(cls, value: Bits | None) -> Bits | None:
        """Found out where settings are read: before a run's first step, not in its fifth."""
        if value is not None:
            require_quantization(value, default_device())
        return value

    @property
    def scale(self) -> int:
        """Alpha, or what stands for it."""
        return self.alpha or 2 * self.rank


class TrainSettings(BaseModel):
    """Settings that every kind of training shares."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak of a cosine schedule; the default suits the miniature, real models want 1e-6 to 1e-5."""
    epochs: float = Field(default=2.0, gt=0)
    """Passes over the data."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens to send through the model, instead of `epochs`: as many passes, or as much of one, as
    that takes. What methods are compared at."""
    share: float = Field(default=1.0, gt=0, le=1)
    """The part of `tokens` for this training, where a method has several."""
    batch_size: int = Field(default=32, ge=1)
    """Rows or pairs per step, over all processes, so that their number changes no result; pairs of
    one prompt stay together."""
    accumulation: int = Field(default=1, ge=1)
    """Batches per optimiser step."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    adam_beta2: float = Field(default=0.95, gt=0, lt=1)
    """Memory of the squared gradients; 0.999 would keep the steep first steps for the whole run."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    embeddings: Literal["all", "markup"] = "all"
    """Token embeddings that may change; `markup` keeps all but those of the trace's own words. With
    `lora`, these words' rows are trained beside the matrices, and `all` trains no row."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products; `auto` takes bfloat16 where the device computes in it natively."""
    batch_tokens: int = Field(default=16_384, ge=1)
    """Most tokens, with padding, that go through the model at once; larger batches are split, with
    the same result."""
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    """Attention kernels; `auto` takes plain matrix products for short rows on a CPU."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the model's layers; `auto` does where a compiler is found and the training is long
    enough to pay for it."""
    max_length: int | None = Field(default=None, ge=1)
    """Longest row in tokens, prompt and response; None takes what the model can read."""
    on_overlong: Literal["drop", "error"] = "drop"
    """What happens to longer rows: left out and counted, or refused. Nothing is ever cut."""
    checkpoint_steps: int = Field(default=200, ge=1)
    """Steps between checkpoints, from which a killed run continues."""
    seed: int = 0
    """Order of the batches, and the first values of an adapter."""
    lora: LoraSettings | None = Field(default=None, exclude_if=lambda value: value is None)
    """Train an adapter instead of all weights. Left out of what identifies a step where it is not
    used."""

    def passes(self, tokens: int) -> float:
        """Passes over data of so many tokens."""
        return self.epochs if self.tokens is None else self.share * self.tokens / tokens

    @model_validator(mode="after")
    def _kept_embeddings_do_not_decay(self) -> TrainSettings:
        if self.embeddings == "markup" and self.weight_decay:
            raise ValueError(
                "weight_decay would shrink the embeddings that `embeddings: markup` keeps; "
                "set one of them back"
            )
        return self
