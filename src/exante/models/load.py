"""The model, tokenizer and chat format of a folder; safetensors only, and no code of theirs.

Whole weights and an adapter on its base load as the same thing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from exante.errors import InputError
from exante.models.adapters import TRACE, is_adapter, merged, put_on
from exante.models.chat import Chat
from exante.models.devices import default_device
from exante.models.faults import UNFIT, first_line
from exante.models.folders import (
    as_ids,
    base_folder,
    require_weights,
    stops_of,
    trace_mark,
    vocabulary_of,
    whole_folder,
)
from exante.models.quantized import Bits, differentiable, quantization, require_quantization

_READ_ONCE = "FSDP_CPU_RAM_EFFICIENT_LOADING"

transformers_logging.disable_progress_bar()


def load_model(
    path: Path, *, dtype: str = "float32", device: str | None = None, whole: bool = True
) -> Any:
    """The causal language model of a folder, in evaluation mode.

    An adapter is merged into its base, so that nobody who uses a model knows of adapters. Where
    FSDP is to divide the weights, `whole=False` leaves it to FSDP who reads them, and where they
    are.

    Raises:
        InputError: the folder holds no config or no safetensors, or not all of them, needs remote
            code, or is an adapter that does not fit its base.
    """
    if is_adapter(path):
        return merged(load_adapted(path, dtype=dtype, device=device))
    if not whole:
        require_weights(path)
        return _from_folder(path, dtype, {})[0].eval()
    return load_full(path, dtype=dtype, device=device)


def load_full(
    path: Path, *, dtype: str = "float32", device: str | None = None, quantize: Bits | None = None
) -> Any:
    """The same of a folder with all weights of a model, which can be held in fewer bits.

    Raises:
        InputError: as above, or `quantize` is asked for where it does not work.
    """
    require_weights(path)
    where = device or default_device()
    how: dict[str, Any] = {}
    if quantize:
        require_quantization(quantize, where)
        how["quantization_config"] = quantization(quantize, getattr(torch, dtype))
        how["device_map"] = {"": where}
    with _all_weights():
        model, absent = _from_folder(path, dtype, how)
    if absent:
        raise InputError(
            f"{len(absent)} tensors of the model are not in its files, such as {absent[0]}; they "
            "would start at random",
            where=str(path),
            fix="check that config.json belongs to these weights",
        )
    return (differentiable(model) if quantize else model.to(where)).eval()


def load_adapted(
    path: Path,
    *,
    dtype: str = "float32",
    device: str | None = None,
    quantize: Bits | None = None,
    dropout: float | None = None,
) -> Any:
    """The base of an adapter's folder with the adapter on it, not merged, in evaluation mode.

    The adapter can be trained if a `dropout` is given.

    Raises:
        InputError: the base is not there, is another one, or does not fit.
    """
    base = base_folder(path)
    model = load_full(base, dtype=dtype, device=device, quantize=quantize)
    words, rows = len(load_tokenizer(path)), model.get_input_embeddings().weight.shape[0]
    if words > rows:
        raise InputError(
            f"the adapter's tokenizer has {words} tokens, and its base {rows}",
            where=str(path),
            fix="give the base that it was trained on",
        )
    if (mark := trace_mark(path)) is not None:
        setattr(model.config, TRACE, mark)
    return put_on(model, path, dropout=dropout)


def load_chat(path: Path, tag: str = "think") -> Chat:
    """The tokenizer and chat template of a model folder, and where its model stops.

    Raises:
        InputError: there is no tokenizer, it has no chat template, or the model has no embeddings
            for all of its tokens.
    """
    chat = Chat(load_tokenizer(path), tag, ends=stops_of(path))
    rows = vocabulary_of(path)
    beyond = tokens_beyond(chat, rows) if rows else []
    if beyond:
        raise InputError(
            f"the tokenizer has {len(chat.tokenizer)} tokens, the model embeds {rows}: not "
            f"{beyond[-1]!r}",
            where=str(path),
            fix="take the tokenizer of this model, or resize the model's embeddings",
        )
    return chat


def tokens_beyond(chat: Chat, rows: int) -> list[str]:
    """Tokens without an embedding among the first `rows` that a chat may hold.

    Some tokenizers have control tokens for images that their text models do not know; no chat
    without images holds these.
    """
    added = chat.tokenizer.added_tokens_decoder
    used = {*chat.stop_ids, chat.pad_id, chat.tokenizer.bos_token_id}
    return [
        token
        for token, i in chat.tokenizer.get_vocab().items()
        if i >= rows and (i in used or i not in added or not added[i].special)
    ]


def load_tokenizer(path: Path) -> Any:
    """The tokenizer of a model folder, with or without a chat template.

    Raises:
        InputError: there is none.
    """
    folder = path if (path / "tokenizer_config.json").is_file() else whole_folder(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except UNFIT as error:
        raise InputError(
            f"no usable tokenizer: {first_line(error)}",
            where=str(folder),
            fix="save the tokenizer beside it",
        ) from None
    # It would be saved, and two runs would differ by whether one had a network.
    tokenizer.init_kwargs.pop("local_files_only", None)
    return tokenizer


def context_length(model: Any) -> int:
    """Most tokens that a loaded model reads; without end where its config names no limit."""
    named = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(named or 1 << 30)


def save_model(
    model: Any, chat: Chat, folder: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Write weights (safetensors), config and tokenizer to a folder that transformers loads.

    `weights` are given where the model does not hold them itself. Whoever generates with it stops
    where turns end, also where the model's first owner left that to his own software.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stop_at_ends(model, chat)
    model.save_pretrained(folder, safe_serialization=True, state_dict=weights)
    chat.tokenizer.save_pretrained(folder)


def stop_at_ends(model: Any, chat: Chat) -> None:
    """Let the model's generation config name every token that ends a turn."""
    generation = model.generation_config
    if generation is not None and not chat.stop_ids <= as_ids(generation.eos_token_id):
        generation.eos_token_id = sorted(chat.stop_ids)


@contextmanager
def _all_weights() -> Iterator[None]:
    """Within, transformers reads weights in every process, whatever FSDP is told to do."""
    before = os.environ.pop(_READ_ONCE, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_READ_ONCE] = before


def _from_folder(path: Path, dtype: str, how: dict[str, Any]) -> tuple[Any, list[str]]:
    """The model, and names of its tensors that were not in the files."""
    try:
        found: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **how,
        )
    except UNFIT as error:
        raise InputError(
            f"cannot be loaded: {first_line(error)}",
            where=str(path),
            fix="check that the folder is complete, and config.json that of these weights",
        ) from None
    model, told = found
    return model, sorted(told["missing_keys"])
