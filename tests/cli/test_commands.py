"""The command line as a user meets it: every mistake is one message with a way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def exante(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "exante", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**environment, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        timeout=300,
        check=False,
    )


def test_help_needs_no_torch() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from exante.cli import app\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    app(['--help'])\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("align", "--recipe", "erp"), "did you mean 'erpo'"),
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
    ],
)
def test_mistakes_end_in_one_message_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = exante(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count("error:") == 1


def test_a_broken_prompt_file_is_located(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"\n')
    done = exante("align", "--data", "p.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "p.jsonl:2: no valid JSON" in done.stderr


def test_a_rule_set_with_duplicate_ids_is_located(tmp_path: Path) -> None:
    clause = "{id: X1.1, text: one}"
    (tmp_path / "r.yaml").write_text(
        "version: 1\nname: mine\ncategories:\n"
        f"  - {{id: X1, title: A, definition: d, prohibited: [{clause}, {clause}]}}\n"
    )
    done = exante("rules", "check", "r.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "r.yaml:4" in done.stderr
    assert "X1.1" in done.stderr


def test_an_output_folder_of_another_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    first = exante("align", "--until", "prompts", "-o", "run", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    before = (tmp_path / "run/prompts/train.jsonl").read_bytes()
    other = exante("align", "--until", "prompts", "--seed", "5", "-o", "run", cwd=tmp_path)
    assert other.returncode == 2
    assert "config.seed" in other.stderr
    assert "--output" in other.stderr
    assert (tmp_path / "run/prompts/train.jsonl").read_bytes() == before


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    done = exante("align", "--until", "prompts", "-o", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "run" in done.stderr
    assert (tmp_path / "run").read_text() == "mine"


def test_lists_copies_and_rules(tmp_path: Path) -> None:
    rows = json.loads(exante("ls", "recipes", "--json").stdout)
    assert {"erpo", "refusal_sft"} <= {row["name"] for row in rows}
    assert all(row["badge"] and row["paper"] and row["summary"] for row in rows)
    assert "held_out" in exante("ls", "attacks").stdout
    assert exante("cp", "erpo", "mine.yaml", cwd=tmp_path).returncode == 0
    assert exante("cp", "erpo", "mine.yaml", cwd=tmp_path).returncode == 2
    assert "R01" in exante("rules", "show", "general").stdout
    assert exante("rules", "check", "miniature").stdout.startswith("ok: 8 categories")


def test_chat_answers_once() -> None:
    done = exante("chat", "miniature", "--prompt", "What is 12 plus 13?")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
