"""What nobody foresaw: one message for a user, the traceback for whoever mends it."""

from __future__ import annotations

import sys
from typing import NoReturn

import pytest
from tests.commands import one_command

from exante.cli import listing, main


def _broken(_: str) -> NoReturn:
    raise ZeroDivisionError("nothing to divide by\nand more lines")


def test_a_bug_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listing, "listing", _broken)
    monkeypatch.setattr(sys, "argv", ["exante", "ls", "recipes"])
    monkeypatch.delenv("EXANTE_TRACEBACK", raising=False)
    with one_command(), pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert "error: test_bugs.py:" in said
    assert "ZeroDivisionError: nothing to divide by\n  fix: this is a bug in exante" in said
    assert "EXANTE_TRACEBACK=1" in said
    assert "Traceback" not in said
    assert "and more lines" not in said


def test_its_traceback_is_there_for_the_asking(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listing, "listing", _broken)
    monkeypatch.setattr(sys, "argv", ["exante", "ls", "recipes"])
    monkeypatch.setenv("EXANTE_TRACEBACK", "1")
    with one_command(), pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert "Traceback (most recent call last)" in said
    assert "in _broken" in said
