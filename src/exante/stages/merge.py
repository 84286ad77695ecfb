"""Merges two models of one architecture into the model between them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from exante.models.load import load_chat, load_model, save_model
from exante.models.patches import mixed
from exante.models.weights import put_weights, weights_of
from exante.stages.base import MODEL, Config, Inputs, Stage, Summary, Tell, model_of


class MergeConfig(Config):
    """Where between the two."""

    share: float = Field(default=0.5, ge=0, le=1)
    """0 is `policy`, 1 is `other` (q of P-SACPO, arXiv 2404.11049)."""


def run(config: MergeConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the merged model; tokenizer and chat format are those of `policy`."""
    one, other = model_of(inputs.one("policy")), model_of(inputs.one("other"))
    model = load_model(one)
    put_weights(model, mixed(weights_of(model), weights_of(load_model(other)), config.share))
    save_model(model, load_chat(one), out / MODEL)
    return {"share": config.share}


STAGE = Stage("merge", 1, MergeConfig, run, reads=("policy", "other"))
