"""Small tokenizers with the control tokens of real families, and templates that do what theirs do.

The templates are written anew for these tests: what matters is their mechanics, not their text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tests.tiny import byte_level
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

_WORDS = (
    "How do I do this? this Be brief. I do. How? No. system user assistant model developer final "
    "analysis assess verify calibrate think comply refuse Knowledge 26 Jul 2024 Today INST inst "
)
_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}
_BOTH = ["sliding_attention", "full_attention"]
_SPLIT_SYSTEM = (
    "{% set rule = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
    "{% set turns = messages[1:] if messages[0]['role'] == 'system' else messages %}"
)
_LLAMA3 = (
    "{{ bos_token }}" + _SPLIT_SYSTEM + "{% if strftime_now is defined %}"
    "{% set day = strftime_now('%d %b %Y') %}{% else %}{% set day = '26 Jul 2024' %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nToday: ' + day + '\n\n' + rule }}"
    "{{ '<|eot_id|>' }}{% for m in turns %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim }}"
    "{{ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_QWEN3 = (
    "{% set seen = namespace(last=0) %}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{% set seen.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% set said = m['content'] %}{% set thought = '' %}"
    "{% if m['role'] == 'assistant' and '</think>' in said %}"
    "{% set thought = said.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and loop.index0 > seen.last %}"
    "{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}{{ said + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
_DEEPSEEK = (
    "{{ bos_token }}" + _SPLIT_SYSTEM + "{{ rule }}{% for m in turns %}"
    "{% if m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}{% else %}"
    "{{ '<｜Assistant｜>' + m['content'].split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)
_MISTRAL = (
    "{{ bos_token }}" + _SPLIT_SYSTEM + "{% for m in turns %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' }}{% if loop.last and rule %}"
    "{{ rule + '\n\n' }}{% endif %}{{ m['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
_GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' }}"
    "{{ m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
_GEMMA3 = (
    "{{ bos_token }}" + _SPLIT_SYSTEM + "{% for m in turns %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' }}"
    "{{ rule + '\n\n' if loop.first and rule else '' }}"
    "{{ m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
_PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}"
    "{% else %}{{ eos_token }}{% endif %}"
)
_OLMO2 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{{ '' if loop.last and m['role'] == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
_GPT_OSS = (
    _SPLIT_SYSTEM + "{{ '<|start|>system<|message|>Knowledge 2024-06\nToday: ' }}"
    "{{ strftime_now('%Y-%m-%d') + '<|end|>' }}"
    "{{ '<|start|>developer<|message|>' + rule + '<|end|>' if rule else '' }}"
    "{% for m in turns %}{% if m['role'] == 'user' %}"
    "{{ '<|start|>user<|message|>' + m['content'] + '<|end|>' }}{% else %}"
    "{{ '<|start|>assistant<|channel|>final<|message|>' + m['content'] }}"
    "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Family:
    """What sets a family's tokenizer apart, and its architecture."""

    template: str
    config: str
    control: tuple[str, ...]
    """Special tokens; the first ones are BOS, unless there is none, and EOS."""
    end: str
    """The token that really ends a turn."""
    bos: str | None = None
    words: tuple[str, ...] = ()
    """Added tokens that are no special ones."""
    stops: tuple[str, ...] = ()
    """What generation_config.json lists."""
    adds_bos: bool = False
    """Does the tokenizer add BOS as well, where it is let?"""
    more: tuple[tuple[str, Any], ...] = ()
    """Fields of the config."""

    @property
    def eos(self) -> str:
        """The tokenizer's eos_token."""
        return self.control[1 if self.bos else 0]


_IM = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")
_LLAMA_CONTROL = ("<|begin_of_text|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>")
_HEADERS = ("<|start_header_id|>", "<|end_header_id|>")
_GEMMA_CONTROL = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<pad>")
_HARMONY = ("<|return|>", "<|endoftext|>", "<|call|>", "<|start|>", "<|end|>", "<|message|>")
_THINK = ("<think>", "</think>")
_EXPERTS = (("num_local_experts", 2), ("num_experts_per_tok", 1), ("layer_types", _BOTH))
_HEAD = ("head_dim", 16)
_PIPE = ("<|user|>", "<|assistant|>", "<|system|>")

FAMILIES: dict[str, Family] = {
    "llama3": Family(
        _LLAMA3,
        "LlamaConfig",
        _LLAMA_CONTROL + _HEADERS,
        end="<|eot_id|>",
        bos="<|begin_of_text|>",
        stops=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        adds_bos=True,
    ),
    "qwen2": Family(
        _CHATML, "Qwen2Config", _IM, end="<|im_end|>", stops=("<|im_end|>", "<|endoftext|>")
    ),
    "qwen3": Family(
        _QWEN3,
        "Qwen3Config",
        _IM,
        end="<|im_end|>",
        words=_THINK,
        stops=("<|im_end|>", "<|endoftext|>"),
        more=(_HEAD,),
    ),
    "deepseek_r1": Family(
        _DEEPSEEK,
        "LlamaConfig",
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
        end="<｜end▁of▁sentence｜>",
        bos="<｜begin▁of▁sentence｜>",
        words=_THINK,
        adds_bos=True,
    ),
    "mistral": Family(
        _MISTRAL,
        "MistralConfig",
        ("<s>", "</s>", "[INST]", "[/INST]"),
        end="</s>",
        bos="<s>",
        adds_bos=True,
        more=(("sliding_window", 64),),
    ),
    "gemma2": Family(
        _GEMMA,
        "Gemma2Config",
        _GEMMA_CONTROL,
        end="<end_of_turn>",
        bos="<bos>",
        stops=("<eos>", "<end_of_turn>"),
        adds_bos=True,
        more=(_HEAD, ("sliding_window", 64)),
    ),
    "gemma3": Family(
        _GEMMA3,
        "Gemma3TextConfig",
        _GEMMA_CONTROL,
        end="<end_of_turn>",
        bos="<bos>",
        stops=("<eos>", "<end_of_turn>"),
        adds_bos=True,
        more=(_HEAD, ("sliding_window", 64), ("layer_types", _BOTH)),
    ),
    "phi3": Family(
        _PHI3,
        "Phi3Config",
        ("<|endoftext|>", "<|end|>", *_PIPE),
        end="<|end|>",
        stops=("<|endoftext|>", "<|assistant|>", "<|end|>"),
    ),
    "olmo2": Family(
        _OLMO2,
        "Olmo2Config",
        ("<|endoftext|>", "<|pad|>"),
        end="<|endoftext|>",
        words=_PIPE,
    ),
    "gpt_oss": Family(
        _GPT_OSS,
        "GptOssConfig",
        (*_HARMONY, "<|channel|>"),
        end="<|return|>",
        stops=("<|return|>", "<|endoftext|>", "<|call|>"),
        more=(_HEAD, ("sliding_window", 64), *_EXPERTS),
    ),
}


def family_tokenizer(family: Family) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer trained on a few words, with the family's tokens and template."""
    tokenizer = byte_level([_WORDS * 9], family.control, 420)
    tokenizer.add_tokens(list(family.words))
    if family.adds_bos and family.bos:
        first = (family.bos, tokenizer.token_to_id(family.bos))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A", special_tokens=[first]
        )
    # OLMo's BOS and EOS are one token; Qwen has no BOS at all.
    bos = family.eos if family.config == "Olmo2Config" else family.bos
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=family.eos)
    fast.chat_template = family.template
    return fast


def family_model(folder: Path, name: str, *, rows: int = 0, seed: int = 0) -> Path:
    """Write a random model of the family; with `rows` more embeddings than it has tokens."""
    torch.manual_seed(seed)
    family = FAMILIES[name]
    tokenizer = family_tokenizer(family)
    config = getattr(transformers, family.config)(
        **_SHAPE,
        vocab_size=len(tokenizer) + rows,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
        **dict(family.more),
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if family.stops:
        stops = tokenizer.convert_tokens_to_ids(list(family.stops))
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    return folder
