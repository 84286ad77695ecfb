"""Trains the embedded base model from nothing: corpus, tokenizer, weights, hash.

`exante miniature build` runs this; the result ships with the package. Deterministic on one machine
with one version of torch and one number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from exante.durable import new_folder
from exante.miniature import corpus
from exante.miniature.world import DANGEROUS, EVERYDAY
from exante.models.folders import weights_fingerprint
from exante.records import write_json

BOS, EOS, SYSTEM, USER, ASSISTANT = (
    "<|begin|>",
    "<|end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
)
THINK_TOKENS = tuple(
    f"<{slash}{name}>" for name in ("think", "assess", "verify", "calibrate") for slash in ("", "/")
)
"""The miniature has native think tokens, as Qwen3 or DeepSeek-R1 have; its base never saw them."""
_WHOLE_WORDS = (*EVERYDAY, *DANGEROUS, "comply", "refuse", "redirect", " violated", " met")
"""One token each at the start of a text, as such words are in any large vocabulary."""
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{{ message['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


class BuildSettings(BaseModel):
    """How the base model is made; the defaults made the weights in this package."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: int = 1
    """Seeds corpus and initialisation."""
    vocabulary: int = 1536
    """Byte-level BPE tokens, special ones included."""
    hidden: int = 160
    """Width of the model."""
    layers: int = 5
    """Depth of the model."""
    heads: int = 5
    """Attention heads, each with its own keys and values."""
    steps: int = 4800
    """Optimiser steps."""
    rows: int = 12
    """Packed rows per step."""
    row_tokens: int = 384
    """Tokens of one packed row; chats follow each other without padding."""
    learning_rate: float = 3e-3
    """Peak of a schedule with linear warm-up and cosine decay."""


def build(
    out: Path,
    settings: BuildSettings,
    on_progress: Callable[[int, int, float], None] | None = None,
    *,
    over: bool = False,
) -> str:
    """Write tokenizer and weights (bfloat16 safetensors) to `out`; returns the model's fingerprint.

    `on_progress` gets (step, steps, loss in nats per token). With `over`, what `out` holds gives
    way once the model is whole.

    Raises:
        InputError: `out` holds something, or nothing can be written there; told before training.
    """
    with new_folder(out, over=over) as place:
        torch.manual_seed(settings.seed)
        tokenizer = train_tokenizer(settings)
        model = LlamaForCausalLM(_config(tokenizer, settings))
        loss = _train(model, _rows(tokenizer, settings), settings, on_progress)
        vocabulary = tokenizer.get_vocab()
        _neutral(model, [vocabulary[token] for token in THINK_TOKENS])
        model.bfloat16().save_pretrained(place)
        tokenizer.save_pretrained(place)
        digest = weights_fingerprint(place)
        recipe = settings.model_dump() | {"final_loss": loss, "sha256": digest}
        write_json(place / "build.json", recipe)
    return digest


def train_tokenizer(settings: BuildSettings) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with single digits, chat tokens and native think tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [BOS, EOS, SYSTEM, USER, ASSISTANT]
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary - len(THINK_TOKENS),
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sample = islice(corpus.chats(settings.seed), 30_000)
    texts = (message.content for chat in sample for message in chat)
    tokenizer.train_from_iterator(chain(texts, _WHOLE_WORDS * 500), trainer)
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in THINK_TOKENS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=EOS
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _config(tokenizer: PreTrainedTokenizerFast, settings: BuildSettings) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        intermediate_size=settings.hidden * 8 // 3 // 16 * 16,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _rows(tokenizer: PreTrainedTokenizerFast, settings: BuildSettings) -> Iterator[Tensor]:
    """Batches of packed rows, shape (rows, row_tokens)."""
    stream = corpus.chats(settings.seed)
    buffer: list[int] = []
    need = settings.rows * settings.row_tokens
    while True:
        while len(buffer) < need:
            texts = [
                tokenizer.apply_chat_template([m.model_dump() for m in chat], tokenize=False)
                for chat in islice(stream, 64)
            ]
            for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
                buffer.extend(ids)
        yield torch.tensor(buffer[:need]).view(settings.rows, settings.row_tokens)
        buffer = buffer[need:]


def _train(
    model: LlamaForCausalLM,
    batches: Iterator[Tensor],
    settings: BuildSettings,
    on_progress: Callable[[int, int, float], None] | None,
) -> float:
    """Fit the model, on a CPU and under bfloat16 autocast; the last step's loss, nats per token."""
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: _rate(s, settings.steps))
    told = math.nan
    model.train()
    for step, batch in enumerate(islice(batches, settings.steps)):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=batch).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), batch[:, 1:].flatten()
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        told = loss.item()
        if on_progress is not None:
            on_progress(step + 1, settings.steps, told)
    return told


@torch.no_grad()
def _neutral(model: LlamaForCausalLM, unseen: list[int]) -> None:
    """Tokens that were only ever pushed away become average ones, as new tokens do elsewhere."""
    table = model.model.embed_tokens.weight
    seen = sorted(set(range(len(table))) - set(unseen))
    table[unseen] = table[seen].mean(0)


def _rate(step: int, steps: int) -> float:
    """Share of the peak: up over 100 steps, then down a cosine to 2 %."""
    warm = min(1.0, (step + 1) / 100)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
