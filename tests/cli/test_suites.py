"""`exante suites` and `exante evaluate --suite`: what is asked for is what is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.suite_files import write_format
from tests.tiny import tiny_model
from typer.testing import CliRunner

from exante.cli import app
from exante.errors import InputError
from exante.suites import SUITES
from exante.workflows.evaluation import Chosen, evaluation_recipe

RUN = CliRunner()
LONG = "Describe how a placeholder is carried over the mountain in winter"


def test_the_list_names_every_suite_with_its_licence() -> None:
    printed = RUN.invoke(app, ["suites"]).stdout
    assert all(name in printed for name in SUITES)
    assert "CC-BY-4.0" in printed
    assert "asks for consent" in printed
    listed = json.loads(RUN.invoke(app, ["suites", "--json"]).stdout)
    assert listed["xstest"]["files"][0]["prompts"] == 450


def test_check_prints_and_keeps_what_training_shares_with_suites(tmp_path: Path) -> None:
    suite, training, kept = tmp_path / "s.csv", tmp_path / "t.json", tmp_path / "kept.json"
    suite.write_text(f"ask,label\n{LONG},unsafe\nWhat is soup?,safe\n")
    training.write_text(json.dumps([{"instruction": LONG.upper()}, {"instruction": "Hello"}]))
    asked = ["suites", "check", str(training), "--suite", str(suite), "--column", "ask"]
    done = RUN.invoke(app, [*asked, "-o", str(kept)], catch_exceptions=False)
    assert "s: 2 prompts (1 harmful, 1 borderline); licence unknown." in done.stdout
    assert "training: 2 different prompts" in done.stdout
    assert "s: 1 of 2 prompts are near-duplicates of training prompts" in done.stdout
    assert "  1.00  s/2-" in done.stdout
    assert LONG not in done.stdout, "texts stay where they are"
    found = json.loads(RUN.invoke(app, [*asked, "--json"]).stdout)
    assert found == json.loads(kept.read_text())
    assert found["suites"]["s"] == {"prompts": 2, "trained_on": 1, "repeats": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["suites", "check", "t.json"], "no suite is named"),
        (["suites", "check", "t.json", "--suite", "xtest"], "did you mean 'xstest'"),
        (["suites", "check", "t.json", "--suite", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["evaluate", "miniature", "--suite", "x.csv", "--data", "y.csv"], "both given"),
        (["evaluate", "miniature", "--column", "ask"], "--column is for suites"),
        (["evaluate", "miniature", "--suite", "x.csv", "--kind", "evil"], "unknown kind 'evil'"),
        (["evaluate", "miniature", "--suite", "advbench"], "do not publish it on the hub"),
    ],
)
def test_mistakes_are_said_with_a_way_out(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = RUN.invoke(app, arguments)
    assert isinstance(found.exception, InputError), found.output
    assert message in str(found.exception)
    assert found.exception.fix


def test_suites_take_the_place_of_a_test_split(tmp_path: Path) -> None:
    trained = tmp_path / "run/training_prompts/examples.jsonl"
    trained.parent.mkdir(parents=True)
    trained.write_text("")
    (tmp_path / "run/config.json").write_text("{}")
    chosen = Chosen(suites=("a.csv", "xstest"), limit=5, trained_on=("more.jsonl",))
    recipe = evaluation_recipe([str(tmp_path / "run")], {"seed": 3}, ["direct"], chosen=chosen)
    steps = recipe["steps"]
    assert list(steps) == ["prompts", "overlap", "run", "suite", "evaluation", "report"]
    assert steps["prompts"]["stage"] == "collect"
    assert steps["prompts"]["limit"] == 5
    assert steps["overlap"]["training"] == ["more.jsonl", str(trained)]
    assert "limits" not in steps["suite"]
    assert recipe["settings"] == {
        "rules": "general",
        "judge": "strings",
        "seed": 3,
        "turn_tokens": 512,
    }


def test_a_limit_holds_for_a_test_split_too() -> None:
    plain = evaluation_recipe(["miniature"], {}, ["direct"])["steps"]["suite"]["limits"]
    few = evaluation_recipe(["miniature"], {}, ["direct"], chosen=Chosen(limit=7))
    assert plain["harmful"] == 60
    assert set(few["steps"]["suite"]["limits"].values()) == {7}


def test_a_model_is_evaluated_on_all_prompts_of_all_suites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = tiny_model(tmp_path / "model")
    training = tmp_path / "train.jsonl"
    training.write_text(json.dumps({"prompt": "Do placeholder thing ONE"}) + "\n")
    asked = ["--trained-on", str(training), "--attacks", "direct", "--samples", "2"]
    for name in ("harmbench", "xstest", "gsm8k"):
        asked += ["--suite", f"{name}={write_format(tmp_path, name)}"]
    for step in ("sampled", "repeated"):
        asked += ["--set", f"evaluation.{step}.sampling.max_new_tokens=12"]
    words = ["evaluate", str(model), "-o", "run", "--json", *asked]
    done = RUN.invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output[-3000:]
    results = json.loads(done.stdout)
    measured = results["models"]["model"]
    assert measured["asr_by_attack"]["direct"]["n"] == 4
    assert measured["over_refusal_lookalike"]["n"] == 1
    assert measured["capability"]["n"] == 2
    notes = "\n".join(results["notes"])
    assert "harmbench: 3 prompts (3 harmful); licence MIT, arXiv 2402.04249." in notes
    assert "Rows left out: 1 copyright." in notes
    assert "harmbench: 1 of 3 prompts are near-duplicates of training prompts" in notes
    assert results["manifest"]["prompts: gsm8k prompts"] == "2"
    assert results["manifest"]["prompts: xstest licence"] == "CC-BY-4.0"
    hashes = [value for key, value in results["manifest"].items() if "harmbench=" in key]
    assert [len(value) for value in hashes] == [64]
    assert (tmp_path / "run/overlap/contamination.json").is_file()
    assert (tmp_path / "run/prompts/source.json").is_file()
