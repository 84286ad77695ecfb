"""Models from folders: what is refused, what a fingerprint covers, how random weights look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.families import family_model
from tests.tiny import tiny_model

from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.folders import context_limit, resolve, weights_fingerprint
from exante.models.load import load_chat, load_model, save_model
from exante.models.probe import looks_untrained


def test_names_lead_to_folders(tmp_path: Path) -> None:
    assert (resolve("miniature") / "model.safetensors").is_file()
    assert resolve(str(tmp_path)) == tmp_path
    with pytest.raises(InputError, match="no such model folder"):
        resolve("./nowhere")


def test_the_shipped_weights_are_those_of_the_record() -> None:
    folder = resolve("miniature")
    record = json.loads((folder / "build.json").read_text())
    assert record["sha256"] == weights_fingerprint(folder)
    assert sum(p.stat().st_size for p in folder.iterdir()) < 12_000_000


def test_pickled_weights_are_never_loaded(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "model.safetensors").rename(folder / "gone")
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        load_model(folder)


def test_a_folder_without_config_or_with_broken_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        load_model(tmp_path)
    folder = tiny_model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(folder)


@pytest.mark.parametrize(
    "field", [{"model_type": "nonesuch"}, {"num_attention_heads": 0}, {"hidden_size": "wide"}]
)
def test_a_config_that_transformers_does_not_understand_is_one_message(
    field: dict[str, object], tmp_path: Path
) -> None:
    folder = tiny_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | field))
    with pytest.raises(InputError, match=r"model: no usable config: .*\n.*fix: take a model"):
        context_limit(folder)


def test_the_fingerprint_covers_weights_and_template(tmp_path: Path) -> None:
    folder, same = tiny_model(tmp_path / "a"), tiny_model(tmp_path / "b")
    first = weights_fingerprint(folder)
    assert weights_fingerprint(same) == first
    model, chat = load_model(folder), load_chat(folder)
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1.0
    save_model(model, chat, tmp_path / "c")
    assert weights_fingerprint(tmp_path / "c") != first
    chat.tokenizer.chat_template += " "
    chat.tokenizer.save_pretrained(same)
    assert weights_fingerprint(same) != first


def test_random_weights_are_noticed(tmp_path: Path) -> None:
    folder, shipped = tiny_model(tmp_path), resolve("miniature")
    assert looks_untrained(load_model(folder), load_chat(folder))
    assert not looks_untrained(load_model(shipped), load_chat(shipped))


@pytest.mark.parametrize("name", ["qwen3-4b", "Qwen/No-Such-Model", "./here/or/there"])
def test_an_unknown_name_is_told_with_what_would_do(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fix:") as told:
        resolve(name)
    assert name in str(told.value)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "whole")
    load_model(folder).save_pretrained(tmp_path, max_shard_size="40KB")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    shards[1].unlink()
    with pytest.raises(InputError, match=f"1 of {len(shards)} weight files.*{shards[1].name}"):
        load_model(tmp_path)


def test_weights_that_lack_a_tensor_never_start_at_random(tmp_path: Path) -> None:
    file = tiny_model(tmp_path) / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(InputError, match=r"1 tensors .* model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(tmp_path)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    chat = load_chat(folder)
    chat.tokenizer.add_tokens(["<think>"])
    chat.tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match=r"the model embeds \d+: not '<think>'"):
        load_chat(folder)


def test_padded_embeddings_and_tokens_for_images_are_no_mistake(tmp_path: Path) -> None:
    padded = family_model(tmp_path / "padded", "qwen3", rows=40)
    chat, model = load_chat(padded), load_model(padded)
    assert chat.decode([len(chat.tokenizer) + 3]) == ""
    assert model.get_input_embeddings().weight.shape[0] == len(chat.tokenizer) + 40
    text_only = family_model(tmp_path / "text", "gemma3")
    tokenizer = load_chat(text_only).tokenizer
    tokenizer.add_tokens(["<image_soft_token>"], special_tokens=True)
    tokenizer.save_pretrained(text_only)
    assert len(load_chat(text_only).tokenizer) == len(tokenizer)


def test_without_pad_or_eos_token_the_end_of_a_turn_serves(tmp_path: Path) -> None:
    chat = load_chat(family_model(tmp_path, "phi3"))
    assert chat.tokenizer.pad_token is None
    assert chat.pad_id == chat.eos_id
    chat.tokenizer.eos_token = None
    assert chat.tokenizer.convert_ids_to_tokens(Chat(chat.tokenizer).eos_id) == "<|end|>"
