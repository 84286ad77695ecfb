"""Malformed files as a user meets them: one message, with place and way out, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.commands import Done, exante
from tests.malformed import builders
from tests.malformed.corpus import Case, cases

TABLES = ("rules", "prompts", "pairs", "mixes", "recipes", "suites", "labels", "settings", "runs")
_LONGEST = 1500
"""Characters of a message: what is wrong is shown, not repeated whole."""


def require_one_message(done: Done, code: int) -> None:
    """What holds of every message about a user's mistake."""
    assert done.code == code, done.said
    assert "Traceback" not in done.said
    assert done.said.count("error: ") == 1
    assert "\n  fix: " in done.said
    assert len(done.said) < _LONGEST
    assert all(c.isprintable() or c == "\n" for c in done.said)


@pytest.mark.parametrize(
    "case", [case for table in TABLES for case in cases(table)], ids=lambda case: case.label
)
def test_a_malformed_file_ends_in_one_message(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in case.fields.get("files", {}).items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    if case.content is not None:
        Path(case.fields["file"]).write_bytes(case.content)
    if "make" in case.fields:
        getattr(builders, case.fields["make"])(Path(case.fields["file"]))
    done = exante(case.fields["run"], monkeypatch, capsys)
    require_one_message(done, case.fields.get("code", 2))
    for words in case.says:
        assert words in done.said
