"""A random Llama as a model folder that exante and TRL load alike."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from exante.bench.data import EOS, PAD
from exante.bench.spec import LONGEST, Shape
from exante.models.chat import Chat
from exante.models.folders import stops_of
from exante.models.load import load_tokenizer

_TEMPLATE = (
    "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %} <bot>{% endif %}"
)


def save_random_model(folder: Path, shape: Shape, seed: int, *, endless: bool = False) -> None:
    """Write weights, config and tokenizer.

    `endless` gives the end of a turn an id behind the vocabulary: all who sample look for it, and
    nobody can draw it, so that turns have the length that was asked for without any extra work.
    """
    eos = shape.vocabulary if endless else EOS
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=LONGEST,
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
        # A config may only name tokens that the model has an embedding of.
        eos_token_id=None if endless else EOS,
        pad_token_id=PAD,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = eos
    model.save_pretrained(folder)
    _tokenizer(eos).save_pretrained(folder)


def chat_of(folder: Path) -> Chat:
    """The chat format of a model made here; an endless one's end has no embedding, as intended."""
    return Chat(load_tokenizer(folder), ends=stops_of(folder))


def _tokenizer(eos: int) -> PreTrainedTokenizerFast:
    # Arms are given token ids; a tokenizer is there because loaders insist on one.
    words = {"<pad>": PAD, "</s>": eos, "<unk>": 2, "<bot>": 3}
    plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    fast.chat_template = _TEMPLATE
    return fast
