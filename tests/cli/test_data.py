"""`exante data`: what is said aloud, what is written, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.data_rows import ASK, PKU, ROWS, SAFE, UNSAFE, write
from typer.testing import CliRunner, Result

from exante.cli import app
from exante.errors import InputError
from exante.formats import FORMATS

RUN = CliRunner()


def exante(*words: str | Path) -> Result:
    return RUN.invoke(app, ["data", *map(str, words)])


@pytest.fixture
def pku(tmp_path: Path) -> Path:
    flipped = {**PKU, "better_response_id": 1}
    return write(tmp_path / "pku.jsonl", PKU, flipped, {**PKU, "prompt": ""})


def test_check_says_the_format_the_counts_and_the_places(pku: Path) -> None:
    done = exante("check", pku)
    assert done.exit_code == 0
    assert "format pku (by its columns)" in done.stdout
    assert "2 of 3 rows, 1 prompts: 2 harmful" in done.stdout
    assert "1 rows do not fit (--rejected FILE keeps them)" in done.stdout
    assert f"{pku}:3: prompt: the prompt is empty" in done.stdout
    assert f"{pku}:2 (against {pku}:1)" in done.stdout
    assert ASK not in done.stdout, "texts stay where they are"


def test_check_as_json(pku: Path) -> None:
    found = json.loads(exante("check", pku, "--json").stdout)
    (account,) = found["files"]
    assert (account["format"], account["rows"], account["rejected"]) == ("pku", 3, 1)
    assert {f["name"]: f["rows"] for f in found["findings"]} == {
        "flipped": 1,
        "contradicting": 1,
        "repeated": 1,
    }


def test_strict_fails_where_anything_was_found(pku: Path, tmp_path: Path) -> None:
    assert exante("check", pku, "--strict").exit_code == 1
    clean = write(tmp_path / "clean.jsonl", {**PKU, "better_response_id": 1})
    assert exante("check", clean, "--strict").exit_code == 0
    rejected = write(tmp_path / "r.jsonl", {**PKU, "better_response_id": 1}, {"prompt": "a"})
    assert exante("check", rejected, "--strict").exit_code == 1
    assert "nothing" in exante("check", clean).stdout
    assert exante("check", clean, "--strict", "--longest", "9").exit_code == 1


def test_convert_writes_good_rows_and_keeps_bad_ones(pku: Path, tmp_path: Path) -> None:
    out, bad = tmp_path / "out.jsonl", tmp_path / "bad.jsonl"
    done = exante("convert", pku, "--to", "trl", "--prefers", "safer", "-o", out, "--rejected", bad)
    assert f"{out}: 2 rows, preference" in done.stdout
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["chosen"][0]["content"] for row in rows} == {SAFE}
    assert {row["rejected"][0]["content"] for row in rows} == {UNSAFE}
    (rejected,) = [json.loads(line) for line in bad.read_text().splitlines()]
    assert (rejected["where"], rejected["row"]["prompt"]) == (f"{pku}:3: prompt", "")
    again = exante("check", out, "--json")
    assert json.loads(again.stdout)["files"][0]["format"] == "preference"


def test_convert_leaves_out_what_a_suite_asks(tmp_path: Path) -> None:
    suite = tmp_path / "suite.csv"
    suite.write_text(f"goal\n{ASK.upper()}\n")
    other = {**PKU, "prompt": "Which soup is green and warm?"}
    data, out = write(tmp_path / "x.jsonl", PKU, other), tmp_path / "out.jsonl"
    told = json.loads(exante("convert", data, "--without", suite, "-o", out, "--json").stdout)
    assert (told["rows"], told["left_out"]) == (1, {"near-duplicates of a suite's prompts": 1})
    (row,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert row["messages"][0]["content"] == other["prompt"]


def test_copyright_prompts_count_although_evaluations_leave_them_out(tmp_path: Path) -> None:
    suite, out = tmp_path / "hb.csv", tmp_path / "out.jsonl"
    suite.write_text(f"Behavior,FunctionalCategory,ContextString\n{ASK},copyright,\n")
    data = write(tmp_path / "x.jsonl", PKU, {**PKU, "prompt": "Which soup is green?"})
    exante("convert", data, "--without", f"harmbench={suite}", "-o", out)
    assert len(out.read_text().splitlines()) == 1


def test_columns_and_formats_as_the_user_says(tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", {"ask": "Hello?", "reply": "Hello!", "n": 1})
    columns = ("--column", "prompt=ask", "--column", "completion=reply")
    done = exante("check", data, *columns)
    assert "format answer (by its columns)" in done.stdout
    assert "not read: n" in done.stdout
    assert (
        "format prompts (as you say)"
        in exante("check", data, "--format", "prompts", *columns).stdout
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--to", "hf"), "unknown target 'hf'"),
        (("--prefers", "best"), "unknown preference 'best'"),
        (("--format", "ppo"), "unknown format 'ppo'"),
        (("--kind", "evil"), "unknown kind 'evil'"),
        (("--column", "prompt"), "not of the form FIELD=COLUMN"),
        (("--column", "prompt=nowhere"), "no column 'nowhere'"),
        (("--to", "trl"), "no label says which response is more useful"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    data = write(tmp_path / "x.jsonl", ROWS["pku_pairs"])
    done = exante("convert", data, "-o", tmp_path / "out.jsonl", *words)
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)
    assert done.exception.fix
    assert not (tmp_path / "out.jsonl").exists()


def test_formats_are_listed() -> None:
    printed = RUN.invoke(app, ["ls", "formats"]).stdout
    assert all(name in printed for name in FORMATS)
