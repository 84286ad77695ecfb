"""What is found out about a model without loading it, and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers
from tests.families import FAMILIES, family_model
from tests.models.test_forward import ALONE, model_of
from tests.models.test_forward import FAMILIES as SHAPES
from tests.tiny import tiny_model

from exante.models.check import ModelCheck, check_model
from exante.models.folders import resolve
from exante.models.forward import can_share
from exante.models.load import load_chat, load_model
from exante.models.small import small_like

SAID = {
    "llama3": ["writes the day"],
    "gemma2": ["no system role"],
    "gpt_oss": ["behind '<|channel|>final<|message|>'", "writes the day"],
}


def texts(found: ModelCheck) -> list[str]:
    return [problem.text for problem in found.problems]


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_told_is_what_the_loaded_model_does(name: str, tmp_path: Path) -> None:
    folder = family_model(tmp_path, name, rows=3)
    found, model, chat = check_model(folder), load_model(folder), load_chat(folder)
    assert found.works
    assert found.weights is not None
    assert found.chat is not None
    assert found.weights.architecture == type(model).__name__
    assert found.weights.parameters == model.num_parameters()
    assert found.weights.embeddings == len(chat.tokenizer) + 3
    assert found.weights.shares_rows == can_share(model)
    assert found.chat.turn_end == FAMILIES[name].end
    assert set(found.chat.stops) >= set(FAMILIES[name].stops)
    assert found.chat.bos == (0 if chat.tokenizer.bos_token_id is None else 1)
    assert all(len(chat.encode(word)) == n for word, n in found.chat.markup.items())
    said = SAID.get(name, [])
    assert len(found.problems) == len(said)
    assert all(part in text for part, text in zip(said, texts(found), strict=True))


def test_the_shipped_model_has_no_problem() -> None:
    assert check_model(resolve("miniature")).problems == ()


def test_a_small_model_of_an_architecture_shares_rows_as_the_large_one_does() -> None:
    for family in (*SHAPES.values(), ALONE["bloom, ALiBi"]):
        small = small_like(model_of(family).config)
        assert small is not None
        assert can_share(small) == (family in SHAPES.values())
    large = transformers.Qwen3Config(hidden_size=4096, num_hidden_layers=36, vocab_size=151936)
    small = small_like(large)
    assert small.num_parameters() < 100_000
    assert can_share(small)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "chat_template.jinja").unlink()
    found = check_model(folder)
    assert not found.works
    assert found.chat is None
    assert found.weights is not None
    assert any("no *.safetensors" in text for text in texts(found))
    assert any("no chat template" in text for text in texts(found))
    assert check_model(folder, complete=False).problems == found.problems[1:]


def test_an_empty_folder_says_once_what_it_lacks(tmp_path: Path) -> None:
    found = check_model(tmp_path)
    assert not found.works
    assert len(set(texts(found))) == len(found.problems)
    assert any("no config.json" in text for text in texts(found))


def test_a_model_whose_layers_keep_a_state_cannot_be_sampled(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    name, fields = ALONE["mamba, a state"]
    model_of((name, {**fields, "vocab_size": vocabulary})).save_pretrained(folder)
    found = check_model(folder)
    assert not found.works
    assert any("keep a state" in text for text in texts(found))


def test_a_tokenizer_of_another_model_is_noticed(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    changed = {**config, "vocab_size": 900, "bos_token_id": 7}
    (folder / "config.json").write_text(json.dumps(changed))
    found = check_model(folder)
    assert found.works
    assert any(text.startswith("900 embeddings for") for text in texts(found))
    assert "bos_token_id is 7 in config.json, and 0 in the tokenizer" in texts(found)
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 200}))
    assert any("the model embeds 200" in text for text in texts(check_model(folder)))


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    own = {
        "model_type": "own",
        "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"},
    }
    (folder / "config.json").write_text(json.dumps({**config, **own}))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    found = check_model(folder)
    assert not found.works
    assert any("no usable config" in text for text in texts(found))


def test_an_end_that_other_tools_do_not_know_is_told(tmp_path: Path) -> None:
    folder = family_model(tmp_path, "gemma3")
    (folder / "generation_config.json").write_text('{"eos_token_id": 1}')
    assert any(
        "'<end_of_turn>' ends a turn, and no config" in t for t in texts(check_model(folder))
    )


def test_a_template_that_leaves_the_question_out_is_an_error(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "chat_template.jinja").write_text("{{ bos_token }}hello")
    assert any("does not write what the user says" in text for text in texts(check_model(folder)))
