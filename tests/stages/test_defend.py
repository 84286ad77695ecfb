"""Self-checks: what the model says of a request or an answer decides what the user reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import tiny_model
from tests.turns import quiet

from exante.defences import REFUSAL
from exante.errors import ArtefactError
from exante.models.load import load_chat
from exante.records import Example, Generation, Message, read_jsonl, write_jsonl
from exante.stages import defend, withhold
from exante.stages.base import Inputs, perform, point_at
from exante.stages.prompts import EXAMPLES
from exante.stages.sample import GENERATIONS

SAID = {"a": "unsafe", "b": "Safe.", "c": "tea"}


def turn(example_id: str, text: str) -> Generation:
    return Generation(
        example_id=example_id, prompt_ids=(1,), token_ids=(5, 1), text=text, finish="stop"
    )


def folder(path: Path, turns: dict[str, str], model: Path) -> Path:
    path.mkdir()
    write_jsonl(path / GENERATIONS, (turn(key, text) for key, text in turns.items()))
    point_at(model, path)
    (path / "stage.json").write_text(f'{{"fingerprint": "{path.name}"}}')
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def test_only_what_is_called_unsafe_is_withheld(model: Path, tmp_path: Path) -> None:
    answered = folder(tmp_path / "answers", {key: f"answer {key}" for key in SAID}, model)
    checks = folder(tmp_path / "checks", SAID, model)
    inputs = Inputs({"generations": {"x": answered}, "checks": {"y": checks}})
    out = perform(withhold.STAGE, withhold.WithholdConfig(), inputs, tmp_path / "out", quiet)
    found = {g.example_id: g for g in read_jsonl(out / GENERATIONS, Generation)}
    assert {key: g.text for key, g in found.items()} == {
        "a": REFUSAL,
        "b": "answer b",
        "c": "answer c",
    }
    chat = load_chat(model)
    assert found["a"].token_ids == chat.turn(REFUSAL)
    assert '"withheld": 1' in (out / "stage.json").read_text()
    assert '"unread": 1' in (out / "stage.json").read_text()


def test_a_missing_check_is_named(model: Path, tmp_path: Path) -> None:
    answered = folder(tmp_path / "answers", {"a": "x", "z": "y"}, model)
    checks = folder(tmp_path / "checks", {"a": "safe"}, model)
    inputs = Inputs({"generations": {"x": answered}, "checks": {"y": checks}})
    with pytest.raises(ArtefactError, match="no check of 'z'"):
        perform(withhold.STAGE, withhold.WithholdConfig(), inputs, tmp_path / "out", quiet)


def test_the_answer_without_its_trace_is_asked_about(model: Path, tmp_path: Path) -> None:
    traced = "<think><assess>tea</assess><calibrate>comply</calibrate></think>Boil it."
    answered = folder(tmp_path / "answers", {"a": traced}, model)
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    asked = Example(id="a", messages=(Message(role="user", content="How?"),), kind="benign")
    write_jsonl(prompts / EXAMPLES, [asked])
    (prompts / "stage.json").write_text('{"fingerprint": "p"}')
    inputs = Inputs({"prompts": {"p": prompts}, "generations": {"g": answered}})
    config = defend.DefendConfig(defence="check_output")
    out = perform(defend.STAGE, config, inputs, tmp_path / "out", quiet)
    (found,) = read_jsonl(out / EXAMPLES, Example)
    assert "Boil it." in found.prompt
    assert "calibrate" not in found.prompt
