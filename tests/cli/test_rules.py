"""Rule sets on the command line, from a document to what an edit touches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.teachers.test_speaking import Script
from typer.testing import CliRunner

from exante.cli.rules import rules_app
from exante.errors import InputError
from exante.records import Traced, write_jsonl

POLICY = """\
## Locks
About locks.
- You must not open a lock of others.
- You may open your own.
"""


def said(*arguments: str) -> str:
    result = CliRunner().invoke(rules_app, list(arguments), catch_exceptions=False)
    if isinstance(result.exception, Exception):
        raise result.exception
    return result.stdout


def test_a_draft_is_written_checked_edited_and_compared(tmp_path: Path) -> None:
    (tmp_path / "policy.md").write_text(POLICY)
    draft, edited = tmp_path / "rules.yaml", tmp_path / "edited.yaml"
    told = said("new", "--from", str(tmp_path / "policy.md"), "-o", str(draft))
    assert "1 categories, 2 clauses, 0 marked DOUBTFUL, 0 sentences left out" in told
    assert said("check", str(draft)).startswith("ok: 1 categories, 2 clauses")
    edited.write_text(draft.read_text().replace('"You must not open', '"Never open'))
    assert "changed  P01.1" in said("diff", str(draft), str(edited))
    assert said("diff", str(draft), str(draft)) == "no clause differs\n"
    other = tmp_path / "other.yaml"
    other.write_text(draft.read_text().replace('name: "rules"', 'name: "other"'))
    told = said("diff", str(draft), str(other))
    assert told.startswith("the name is other, not rules: no teacher's turn can be reused\n")
    verify = "<verify>P01.1 violated</verify><calibrate>refuse</calibrate></think>No."
    turns = [
        Traced(example_id="lock", text=f"<think><assess>a lock [P01]</assess>{verify}"),
        Traced(example_id="pie", text="<think><assess>pie</assess><calibrate>comply</calibrate>"),
    ]
    (tmp_path / "run" / "traces").mkdir(parents=True)
    write_jsonl(tmp_path / "run" / "traces" / "traced.jsonl", turns)
    run = ("--traces", str(tmp_path / "run"))
    assert "P01.1 is cited in the traces of 1 prompts: lock" in said(
        "diff", str(draft), str(edited), *run
    )
    found = json.loads(said("diff", str(draft), str(edited), *run, "--json"))
    assert found["cited_by"] == {"P01.1": ["lock"]}
    assert found["changes"][0]["change"] == "changed"


def test_mistakes_are_said(tmp_path: Path) -> None:
    (tmp_path / "policy.md").write_text("The weather was fine.")
    out = tmp_path / "rules.yaml"
    with pytest.raises(InputError, match="nothing in it says"):
        said("new", "--from", str(tmp_path / "policy.md"), "-o", str(out))
    with pytest.raises(InputError, match="cannot be read"):
        said("new", "--from", str(tmp_path / "none.md"), "-o", str(out))
    with pytest.raises(InputError, match="is no chat model"):
        said("new", "--from", str(tmp_path / "policy.md"), "-o", str(out), "--teacher", "template")
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        said("new", "--from", str(tmp_path / "policy.md"), "-o", str(out))
    assert out.read_text() == "mine"
    with pytest.raises(InputError, match="holds no traces"):
        said("diff", "general", "general", "--traces", str(tmp_path))


def test_a_teacher_that_drafts_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.md").write_text("You must not open locks.")
    monkeypatch.setattr("exante.stages.teachers.open_speaker", lambda name: Script("no"))
    with pytest.raises(InputError, match="server:URL#weak made no clause") as told:
        said(
            *("new", "--from", str(tmp_path / "policy.md"), "-o", str(tmp_path / "rules.yaml")),
            *("--teacher", "server:URL#weak"),
        )
    assert "leave it out" in str(told.value.fix)
