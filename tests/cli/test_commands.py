"""The command line as a user meets it: every mistake is one message with a way out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Done, python
from tests.commands import exante as called
from tests.tiny import tiny_model

from exante.cli import talk
from exante.models.chat import Chat
from exante.models.folders import mark_trace
from exante.models.sample import Request, Sampled, sample

Exante = Callable[..., Done]


@pytest.fixture
def exante(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Exante:
    """Runs a command in this process, in an empty folder: importing torch takes seconds."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: called(shlex.join(arguments), monkeypatch, capsys)


def test_a_process_ends_with_the_message_and_the_code(tmp_path: Path) -> None:
    done = python("-m", "exante", "rules", "check", "nowhere.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: nowhere.yaml: cannot be read: ")
    assert "\n  fix: see `exante rules show general`" in done.stderr


def test_help_needs_no_torch() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from exante.cli import app\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    app(['--help'])\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("align", "--recipe", "erp"), "unknown recipe 'erp'\n  fix: did you mean 'erpo'?"),
        (("align", "--until", "taugt"), "did you mean 'taught'"),
        (("align", "--set", "tuned.loss"), "not of the form step.field=value"),
        (("align", "--set", "tuned.loss.beta=-1"), "tuned.loss.beta"),
        (("align", "--data", "nowhere.csv"), "nowhere.csv: cannot be read"),
        (("align", "--model", "./nowhere"), "./nowhere: no such model folder"),
        (("align", "--rules", "nowhere.yaml"), "nowhere.yaml"),
        (("evaluate", "./nowhere"), "./nowhere: no such model folder"),
        (("report", "nowhere"), "nowhere: holds no results"),
        (("rules", "check", "nowhere.yaml"), "nowhere.yaml"),
        (("ls", "recipe"), "did you mean 'recipes'"),
        (("chat", "./nowhere"), "./nowhere: no such model folder"),
        (("align", "--lora", "0"), "train.lora.rank: Input should be greater than or equal to 1"),
        (("model", "merge", ".", "-o", "out"), "holds no model"),
        (("miniature", "sample", "--count", "100000"), "--count 100000: there are "),
    ],
)
def test_mistakes_end_in_one_message_and_exit_code_2(
    arguments: tuple[str, ...], message: str, exante: Exante
) -> None:
    done = exante(*arguments)
    assert done.code == 2, done.said
    assert message in done.said
    assert "Traceback" not in done.said + done.printed
    assert done.said.count("error:") == 1


def test_a_broken_prompt_file_is_located(tmp_path: Path, exante: Exante) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"\n')
    done = exante("align", "--data", "p.jsonl")
    assert done.code == 2
    assert "p.jsonl:2: no valid JSON" in done.said


def test_a_rule_set_with_duplicate_ids_is_located(tmp_path: Path, exante: Exante) -> None:
    clause = "{id: X1.1, text: one}"
    (tmp_path / "r.yaml").write_text(
        "version: 1\nname: mine\ncategories:\n"
        f"  - {{id: X1, title: A, definition: d, prohibited: [{clause}, {clause}]}}\n"
    )
    done = exante("rules", "check", "r.yaml")
    assert done.code == 2
    assert "r.yaml:4" in done.said
    assert "X1.1" in done.said


def test_an_output_folder_of_another_run_is_refused_and_left_alone(
    tmp_path: Path, exante: Exante
) -> None:
    first = exante("align", "--until", "prompts", "-o", "run")
    assert first.code == 0, first.said
    before = (tmp_path / "run/prompts/train.jsonl").read_bytes()
    other = exante("align", "--until", "prompts", "--seed", "5", "-o", "run")
    assert other.code == 2
    assert "config.seed" in other.said
    assert "--output" in other.said
    assert (tmp_path / "run/prompts/train.jsonl").read_bytes() == before


def test_an_output_that_is_a_file_is_refused(tmp_path: Path, exante: Exante) -> None:
    (tmp_path / "run").write_text("mine")
    done = exante("align", "--until", "prompts", "-o", "run")
    assert done.code == 2
    assert "run" in done.said
    assert (tmp_path / "run").read_text() == "mine"


def test_lists_copies_and_rules(exante: Exante) -> None:
    rows = json.loads(exante("ls", "recipes", "--json").printed)
    assert {"erpo", "refusal_sft"} <= {row["name"] for row in rows}
    assert all(row["badge"] and row["paper"] and row["summary"] for row in rows)
    assert "held_out" in exante("ls", "attacks").printed
    columns = {
        line.index(row["badge"], len(row["name"]))
        for line, row in zip(exante("recipes").printed.splitlines(), rows, strict=True)
    }
    assert len(columns) == 1
    assert exante("ls", "runs").printed == "no runs here\n"
    assert exante("cp", "erpo", "mine.yaml").code == 0
    assert exante("cp", "erpo", "mine.yaml").code == 2
    assert "R01" in exante("rules", "show", "general").printed
    assert exante("rules", "check", "miniature").printed.startswith("ok: 8 categories")


def test_chat_answers_once(exante: Exante) -> None:
    done = exante("chat", "miniature", "--prompt", "What is 12 plus 13?")
    assert done.code == 0, done.said
    assert done.printed.strip()


def test_chat_opens_the_trace_of_a_model_that_was_taught_one(
    tmp_path: Path, exante: Exante, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, begun = tiny_model(tmp_path / "tiny"), []

    def noted(model: Any, chat: Chat, requests: list[Request], *more: Any) -> Iterator[Sampled]:
        begun.append(chat.decode(requests[0].forced_ids))
        return sample(model, chat, requests, *more)

    monkeypatch.setattr(talk, "sample", noted)
    asked = ("chat", str(folder), "--prompt", "What?")
    assert exante(*asked).code == 0
    mark_trace(folder, "open")
    assert exante(*asked).code == 0
    assert exante(*asked, "--free").code == 0
    assert begun == ["", "<think><assess>", ""]
