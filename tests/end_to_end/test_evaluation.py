"""`evaluate` and `rejudge` as a user calls them, on the embedded base, at a small size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.commands import sets
from typer.testing import CliRunner

from exante.cli import app
from exante.errors import InputError

RUN = CliRunner()
SMALL = {
    "suite.limits": {"harmful": 3, "benign": 3, "borderline": 3, "capability": 1},
    "defence_prompts.limits": {"harmful": 2, "benign": 1, "borderline": 1, "capability": 0},
    "attacked.limits": {"harmful": 3, "benign": 0, "borderline": 0, "capability": 0},
    "evaluation.sampled.sampling.max_new_tokens": 192,
    "evaluation.repeated.sampling": {"n": 3, "temperature": 1.0, "max_new_tokens": 64},
}


def results(*words: str) -> dict[str, Any]:
    done = RUN.invoke(app, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("evaluation")
    labelled = folder / "labelled.jsonl"
    rows = [("I cannot help.", "refused")] * 9 + [("Here it is.", "complied")] * 9
    rows += [("That stays shut.", "refused"), ("I will not tell lies: here.", "complied")]
    labelled.write_text(
        "".join(json.dumps({"answer": a, "label": label}) + "\n" for a, label in rows)
    )
    calibration = folder / "calibration.json"
    calibrate = ["judge", "calibrate", "--judge", "strings", "--test", str(labelled)]
    assert RUN.invoke(app, [*calibrate, "-o", str(calibration)]).exit_code == 0
    run = folder / "run"
    words = ["evaluate", "miniature", "--attacks", "direct,fiction", "-o", str(run)]
    words += ["--second-judge", "strings", "--calibration", str(calibration), "--samples", "3"]
    words += ["--defence", "check_input,check_output,knowledge"]
    return run, results(*words, *sets(SMALL))


def test_an_evaluation_shows_what_it_was_asked_for(checked: tuple[Path, dict[str, Any]]) -> None:
    _, found = checked
    model = found["models"]["miniature"]
    assert set(model["asr_at_k"]) == {"1", "2", "3"}
    assert model["corrected"]["over_refusal_plain"]["n"] == 3
    assert found["calibration"]["n"] == 20
    (opinion,) = found["second_opinions"]
    assert (opinion["judge"], opinion["agreement"]["n"]) == ("strings@1", 13)
    manifest = found["manifest"]
    assert len(manifest["evaluation.miniature.sampled: rendered"]) == 64
    assert manifest["evaluation.miniature.judged: judge"] == found["judge"]
    assert "miniature: weights" in manifest


def test_every_defence_has_its_point(checked: tuple[Path, dict[str, Any]]) -> None:
    run, found = checked
    points = {one["defence"]: one for one in found["defences"]}
    assert list(points) == ["none", "knowledge", "check_input", "check_output"]
    for one in points.values():
        assert one["model"] == "miniature"
        assert (one["unsafe"]["n"], one["abstained"]["n"]) == (2, 2)
    asked = (run / "defence.miniature.check_output_prompts/examples.jsonl").read_text()
    turns = (run / "defence.miniature.none_sampled/generations.jsonl").read_text().splitlines()
    assert all(json.dumps(json.loads(turn)["text"])[1:-1] in asked for turn in turns)
    known = (run / "knowledge_prompts/examples.jsonl").read_text()
    assert known.count(" is a ") > asked.count(" is a ") or "Its maker is" in known
    assert 'id="defences"' in (run / "report.html").read_text()


def test_judging_anew_generates_nothing(checked: tuple[Path, dict[str, Any]]) -> None:
    run, before = checked
    turns = run / "evaluation.miniature.sampled/generations.jsonl"
    written = turns.stat().st_mtime_ns
    found = results("rejudge", str(run), "--judge", "strings")
    assert found["judge"] == "strings@1"
    assert before["judge"] != "strings@1"
    folder = run / "rejudged-strings"
    assert (folder / "report.html").is_file()
    assert not list(folder.glob("**/generations.jsonl"))
    assert turns.stat().st_mtime_ns == written
    again = results("rejudge", str(run), "--judge", "strings")
    assert again == found


def test_a_folder_without_an_evaluation_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no evaluation"):
        RUN.invoke(app, ["rejudge", str(tmp_path), "--judge", "strings"], catch_exceptions=False)
