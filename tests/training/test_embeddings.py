"""Fine-tuning with `embeddings: markup` changes no ordinary word's embedding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tests.tiny import tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from exante import recipes
from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.folders import resolve
from exante.models.load import load_chat, load_model
from exante.records import Message
from exante.training import TokenRow, TrainSettings, fit_tokens
from exante.training.embeddings import markup_ids

SETTINGS = TrainSettings(learning_rate=3e-3, epochs=1, batch_size=4, embeddings="markup")


def rows(chat: Chat) -> list[TokenRow]:
    prompt = chat.prompt_ids([Message(role="user", content="How do I do this?")])
    return [TokenRow(f"row{i}", prompt, chat.turn("<think></think>No.")) for i in range(8)]


def with_think_tokens(folder: Path) -> Path:
    """A tiny model whose vocabulary has two words of the format."""
    tiny_model(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<think>", "</think>"])
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def test_only_words_of_the_format_move(tmp_path: Path) -> None:
    policy = with_think_tokens(tmp_path / "policy")
    chat = load_chat(policy)
    fit_tokens(rows(chat), policy=policy, out=tmp_path / "out", settings=SETTINGS)
    before, after = load_model(policy), load_model(tmp_path / "out/model")
    free = sorted(chat.tokenizer.convert_tokens_to_ids(["<think>", "</think>"]))
    for side in ("input", "output"):
        old, new = (getattr(m, f"get_{side}_embeddings")().weight for m in (before, after))
        assert torch.nonzero((old != new).any(1)).flatten().tolist() == free
    old, new = (m.model.layers[0].mlp.up_proj.weight for m in (before, after))
    assert not torch.equal(old, new)


def test_without_such_words_no_embedding_moves_and_with_all_they_do(tmp_path: Path) -> None:
    policy = tiny_model(tmp_path / "policy")
    given = rows(load_chat(policy))
    fit_tokens(given, policy=policy, out=tmp_path / "kept", settings=SETTINGS)
    moving = SETTINGS.model_copy(update={"embeddings": "all"})
    fit_tokens(given, policy=policy, out=tmp_path / "moved", settings=moving)
    table = load_model(policy).get_input_embeddings().weight
    assert torch.equal(load_model(tmp_path / "kept/model").get_input_embeddings().weight, table)
    moved = load_model(tmp_path / "moved/model").get_input_embeddings().weight
    assert not torch.equal(moved, table)


def test_the_miniature_has_every_word_of_the_format_but_one() -> None:
    chat = load_chat(resolve("miniature"))
    texts = {chat.decode([token]).strip() for token in markup_ids(chat)}
    assert {"<think>", "</verify>", "refuse", "comply", "redirect", "violated", "met"} <= texts
    assert "not-met" not in texts


def test_kept_embeddings_must_not_decay() -> None:
    with pytest.raises(ValidationError, match="weight_decay would shrink"):
        TrainSettings(embeddings="markup", weight_decay=0.1)


def test_the_message_for_it_is_plain() -> None:
    changes = {"taught.train.weight_decay": 0.1}
    with pytest.raises(InputError, match=r"taught\.train: weight_decay would shrink"):
        recipes.load("erpo", changes=changes)
