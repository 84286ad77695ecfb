"""Baselines that do not reason: the same words before answers, the rules before prompts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import tiny_model
from tests.turns import HELP, asked, model_folder, quiet, stamped

from exante import rules
from exante.errors import InputError
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.records import Message, Traced, read_jsonl, write_jsonl
from exante.stages.base import Inputs, model_of
from exante.stages.instruct import STAGE as INSTRUCT
from exante.stages.instruct import InstructConfig
from exante.stages.preface import STAGE as PREFACE
from exante.stages.preface import PrefaceConfig
from exante.stages.reason import TRACED

TRACE = "<think><assess>any</assess><calibrate>redirect</calibrate></think>"


def prefaced(tmp_path: Path, text: str, turns: list[Traced]) -> list[Traced]:
    (place := tmp_path / "reason").mkdir()
    write_jsonl(place / TRACED, turns)
    (out := tmp_path / "out").mkdir()
    PREFACE.run(PrefaceConfig(text=text), Inputs({"traces": {"r": stamped(place)}}), out, quiet)
    return read_jsonl(out / TRACED, Traced)


@pytest.mark.parametrize(("text", "level"), [(TRACE, "full"), ("<think>Safety.</think>", "none")])
def test_every_answer_gets_the_same_preface(tmp_path: Path, text: str, level: str) -> None:
    turns = [
        Traced(example_id="a", text=HELP, level="none"),
        Traced(example_id="b", text="I do.", level="none"),
        Traced(example_id="b", text="wrong", level="none", role="blind"),
    ]
    found = prefaced(tmp_path, text, turns)
    assert [(t.example_id, t.text, t.level) for t in found] == [
        ("a", text + HELP, level),
        ("b", text + "I do.", level),
    ]


def test_a_trace_gets_no_preface(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="traces already"):
        prefaced(tmp_path, "Safety.", [Traced(example_id="a", text=TRACE + HELP)])


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("instruct"))


def instructed(tmp_path: Path, policy: Path, name: str = "miniature") -> Path:
    (out := tmp_path / "out").mkdir()
    base = model_folder(tmp_path / "base", policy)
    config = InstructConfig(rules=name, detail="brief")
    INSTRUCT.run(config, Inputs({"policy": {"base": base}}), out, quiet)
    return model_of(out)


def test_the_rules_are_read_before_every_prompt(tmp_path: Path, policy: Path) -> None:
    model = instructed(tmp_path, policy)
    plain, told = load_chat(policy), load_chat(model)
    text = told.prompt_text(asked("a").messages)
    assert rules.brief(rules.load("miniature")) in text
    assert text.endswith(plain.prompt_text(asked("a").messages).removeprefix("<s>"))
    own = (Message(role="system", content="Be kind."), *asked("a").messages)
    assert told.prompt_ids(own) == plain.prompt_ids(own)
    assert weights_fingerprint(model) != weights_fingerprint(policy)
    before, after = load_model(policy).state_dict(), load_model(model).state_dict()
    assert all(before[name].equal(value) for name, value in after.items())


def test_rules_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    small = tiny_model(tmp_path / "small")
    config = small / "config.json"
    config.write_text(config.read_text().replace("2048", "200"))
    with pytest.raises(InputError, match="the model reads 200"):
        instructed(tmp_path, small)


def with_template(folder: Path, template: str) -> Path:
    model = tiny_model(folder)
    chat = load_chat(model)
    chat.tokenizer.chat_template = template
    chat.tokenizer.save_pretrained(model)
    return model


def test_without_a_system_role_the_rules_stand_before_the_first_question(tmp_path: Path) -> None:
    shy = with_template(
        tmp_path / "shy",
        "{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}<user>{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<bot>{% endif %}",
    )
    told = load_chat(instructed(tmp_path, shy))
    text = told.prompt_text([Message(role="user", content="How?")])
    assert text.startswith("<user>Help as well as you can.")
    assert text.endswith("\n\nHow?<bot>")
    own = (Message(role="system", content="Be brief."), Message(role="user", content="How?"))
    assert told.prompt_text(own) == "<user>Be brief.\n\nHow?<bot>"


def test_a_template_without_a_place_for_rules_is_refused(tmp_path: Path) -> None:
    deaf = with_template(tmp_path / "deaf", "{{ messages[-1]['content'][-9:] }}")
    with pytest.raises(InputError, match="takes no system message"):
        instructed(tmp_path, deaf)
