"""Random guards of the published architectures, whose tokenizers know their control tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tests.tiny import byte_level
from transformers import PreTrainedTokenizerFast

_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 2048,
}
_CONTROL: dict[str, list[str]] = {
    "llama": ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
    "mistral": ["<s>", "</s>", "[INST]", "[/INST]"],
    "gemma2": ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
}
_MORE: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 512},
    "gemma2": {"head_dim": 16, "sliding_window": 512, "attn_logit_softcapping": 0.5},
}
_CONFIGS = {"llama": "LlamaConfig", "mistral": "MistralConfig", "gemma2": "Gemma2Config"}


def tiny_guard(folder: Path, family: str, seed: int = 0) -> Path:
    """Write a guard of the family (llama, mistral, gemma2) to a folder, without a chat template."""
    torch.manual_seed(seed)
    control = _CONTROL[family]
    words = "Yes No safe unsafe yes no "
    text = "You are a policy expert. Your answer must start with 'Yes' or 'No'. harmful response "
    tokenizer = byte_level([text * 9, *(words.split() * 20)], control, 500)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=control[0], eos_token=control[1]
    )
    config = getattr(transformers, _CONFIGS[family])(
        vocab_size=len(fast),
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **_SHAPE,
        **_MORE[family],
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        # Larger than usual, so that what a token attends to shows in the logits.
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(4.0)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
