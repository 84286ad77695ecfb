"""What others wrote cannot act on the terminal: through the real command line."""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from tests.commands import one_command
from tests.pages.conftest import synthetic
from tests.taught import taught_model

from exante import rules
from exante.cli import main
from exante.cli.terminal import Screen, shown, words
from exante.models.chat import Chat
from exante.quoting import visible

ACTING = "\x1b]52;c;eA==\x07\x1b[2J\x9b31m\rfake\x08\u202egnp.exe\u2066\u200b\U000e0041\x7f"
MARKUP = "[red]red[/red][link=https://a.example]x[/link][/]"
NAME = f"m{ACTING}{MARKUP}"
Told = Callable[..., str]
_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\U000e0041]")


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Both streams of a command, as a terminal would get them."""
    monkeypatch.setenv("COLUMNS", "500")

    def streams(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["exante", *words])
        with suppress(SystemExit):
            main()
        return "".join(capsys.readouterr())

    with one_command():
        yield streams


def harmless(text: str) -> bool:
    """Is there nothing in it that a terminal would obey?"""
    return _ACTS.search(text) is None


@given(st.text())
def test_what_is_shown_keeps_its_words_and_acts_on_nothing(text: str) -> None:
    found = visible(text)
    assert visible(found) == found
    assert all(c in "\n\t" or ord(c) >= 32 for c in found)
    assert not set(found) & set("\x7f\x85\x9b\x9d\u202e\u2028\u200b\ufeff\ud800\U000e0041")
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text


def test_scripts_and_emoji_stay_as_they_are() -> None:
    text = "می‌خواهم \U0001f468‍\U0001f469‍\U0001f467 naïve\n\tשלום"
    assert visible(text) == text


def test_rows_fields_and_names_of_files(tmp_path: Path, told: Told) -> None:
    data = tmp_path / f"rows{ACTING.replace('/', '')}{MARKUP.replace('/', '')}.jsonl"
    rows = [{NAME: "x"}, {"prompt": NAME, "is_safe": NAME}, {"prompt": 1}]
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    for command in (
        ["data", "check", str(data)],
        ["data", "convert", str(data), "-o", str(tmp_path / "out.jsonl")],
        ["data", "mix", str(data)],
        ["align", "--data", str(data), "-o", str(tmp_path / "run")],
        ["report", str(data)],
    ):
        text = told(*command)
        assert harmless(text)
        assert "[red]red[" in text, command


def test_names_and_notes_of_a_report(tmp_path: Path, told: Told) -> None:
    whole = synthetic()
    found = whole.model_copy(
        update={"models": {NAME: whole.models["erpo"]}, "notes": [NAME], "comparisons": []}
    )
    (tmp_path / "results.json").write_text(found.model_dump_json(by_alias=True))
    for options in ([], ["--markdown"], ["--json"]):
        text = told("report", str(tmp_path), *options)
        assert harmless(text)
        assert ("\\[red\\]red" if options == ["--markdown"] else "[red]red[/red]") in text
    assert NAME in json.loads(text)["models"]


def test_an_error_quotes_what_is_wrong_and_does_nothing_else(tmp_path: Path, told: Told) -> None:
    recipe = tmp_path / f"recipe{NAME.replace('/', '')}.yaml"
    recipe.write_text("steps: {one: {stage: two}}")
    text = told("align", str(recipe), "--output", str(tmp_path / "run"))
    assert harmless(text)
    assert "\\u001b[2J" in text
    assert "[red]red[red]" in text


def test_a_chat_shows_what_a_model_writes_as_text(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = taught_model(tmp_path / "tiny")
    monkeypatch.setattr(Chat, "decode", lambda *_: f"<think>{NAME}</think>{NAME}")
    text = told("chat", str(model), "--prompt", "What is this?")
    assert harmless(text)
    assert text.count("[red]red[/red]") == 2


def test_screens_print_markup_as_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    table = Table(NAME)
    table.add_row(NAME)
    table.add_row(words(NAME, "bold"))
    screen = Screen()
    screen.print(table)
    screen.print(NAME, style="dim")
    text = capsys.readouterr().out
    assert harmless(text)
    assert text.count("[red]red[/red][link=") == 4


def test_log_lines_and_warnings_of_libraries(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told("--version")
    logging.getLogger("others").warning("of %s", ACTING)
    assert caplog.records[0].getMessage() == f"of {visible(ACTING)}"
    assert harmless(warnings.formatwarning(ACTING, UserWarning, "file", 1))


def test_a_bug_is_told_with_its_traceback(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(ACTING)

    monkeypatch.setenv("EXANTE_TRACEBACK", "1")
    monkeypatch.setattr(rules, "load", broken)
    text = told("rules", "check", "general")
    assert "Traceback" in text
    assert "RuntimeError: " + visible(ACTING) in text
    assert harmless(text)


def test_values_of_secret_variables_and_keys_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXANTE_API_KEY", "planted-secret-1")
    monkeypatch.setenv("OTHER_TOKEN", "EMPTY")
    said = (
        "planted-secret-1 EMPTY http://me:pw@host/v1?api_key=abc&n=1 Bearer abcdefghijklmn hf_"
        + ("a1" * 17)
    )
    assert shown(said) == "... EMPTY http://...@host/v1?...&n=1 Bearer ... ..."
    assert shown("a task-oriented-risk-assessment-42 sk-learn-compatible-estimators") == (
        "a task-oriented-risk-assessment-42 sk-learn-compatible-estimators"
    )
