"""How long, how fast and how carefully to train."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TrainSettings(BaseModel):
    """Settings that every kind of training shares."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

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
    """Rows or pairs per step and device; pairs of one prompt stay together."""
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
    """Token embeddings that may change; `markup` keeps all but those of the trace's own words."""
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
    max_length: int | None = None
    """Longest row in tokens, prompt and response; None takes what the model can read."""
    on_overlong: Literal["drop", "error"] = "drop"
    """What happens to longer rows: left out and counted, or refused. Nothing is ever cut."""
    checkpoint_steps: int = Field(default=200, ge=1)
    """Steps between checkpoints, from which a killed run continues."""
    seed: int = 0
    """Order of the batches."""

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
