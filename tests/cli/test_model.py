"""`exante model check` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.families import family_model
from tests.tiny import tiny_model
from typer.testing import CliRunner

from exante.cli import app


def told(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["model", "check", *arguments])
    return found.exit_code, found.stdout


def test_a_model_that_can_be_run(tmp_path: Path) -> None:
    sizes = ("--prompt-tokens", "64", "--turn-tokens", "192")
    code, text = told(str(family_model(tmp_path, "gemma2")), *sizes)
    assert code == 0
    assert text.endswith("ok: a run can work\n")
    for part in (
        "Gemma2ForCausalLM",
        "turn ends with <end_of_turn>; sampling stops at <eos> <end_of_turn>",
        "system         before the first question",
        "given    <bos> <start_of_turn>",
        "LoRA, rank 16",
        "warning: the template has no system role",
    ):
        assert part in text
    learned = next(line for line in text.splitlines() if line.startswith("  learned"))
    assert learned.endswith("<end_of_turn>")
    assert "<start_of_turn>" not in learned


def test_json_holds_the_same_and_sums_add_up(tmp_path: Path) -> None:
    code, text = told(str(tiny_model(tmp_path)), "--recipe", "dpo", "--json")
    assert code == 0
    found = json.loads(text)
    assert found["weights"]["architecture"] == "LlamaForCausalLM"
    stages = {row["stage"] for row in found["memory"]}
    assert {"sample", "prefer"} <= stages
    for row in found["memory"]:
        parts = [v for k, v in row.items() if isinstance(v, int) and k != "total"]
        assert row["total"] == sum(parts) > 0
    assert [r["learned"] for r in found["example"]] == sorted(
        r["learned"] for r in found["example"]
    )


def test_a_model_that_cannot_be_run_ends_with_code_2(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "chat_template.jinja").unlink()
    code, text = told(str(folder))
    assert code == 2
    assert "error: the tokenizer has no chat template" in text
    assert "fix:" in text
    assert "ok:" not in text
    code, text = told(str(folder), "--json")
    assert code == 2
    assert json.loads(text)["chat"] is None


def test_turns_that_a_model_cannot_read_are_an_error(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 300}))
    code, text = told(str(folder), "--turn-tokens", "192")
    assert (code, "error: a prompt of 256 tokens" in text) == (0, False)
    assert "warning: a prompt of 256 tokens and a turn of 192" in text
    # With data of one's own, turns are longer than those of the miniature.
    code, text = told(str(folder))
    assert code == 2
    assert "error: a prompt of 256 tokens and a turn of 512 are more than the 300" in text
