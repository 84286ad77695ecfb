"""Whole runs at a small size: the miniature, a user's own files, stops and kills on the way."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.commands import environment, python, sets
from tests.tiny import tiny_model
from typer.testing import CliRunner

from exante.cli import app
from exante.stages.base import STAMP
from exante.stages.runs import final_model

TINY = {
    "training_prompts.limits": {"harmful": 8, "benign": 12, "borderline": 8, "capability": 4},
    "round_prompts.limits": {"harmful": 4, "benign": 4, "borderline": 4, "capability": 2},
    "validation_prompts.limits": {"harmful": 4, "benign": 4, "borderline": 4, "capability": 2},
    "suite.limits": {"harmful": 3, "benign": 4, "borderline": 4, "capability": 2},
    "refusal_sft.train.epochs": 1,
    "taught.train.epochs": 2,
    "taught.train.checkpoint_steps": 2,
    "shortened.repeat": 1,
    "sampled.sampling": {"n": 2, "temperature": 1.0, "max_new_tokens": 48},
    "shortened.sampled.sampling": {"n": 2, "temperature": 1.0, "max_new_tokens": 48},
    "evaluation.sampled.sampling.max_new_tokens": 48,
    "latency.timed.count": 4,
    "latency.timed.repeats": 1,
}
MODELS = ["base", "refusal_sft", "erpo_sft", "erpo_prefer", "erpo"]
_SAMPLED = ("taught_sampled", "tuned_sampled", "shortened.check_sampled")
SHORT = {
    **{f"{step}.sampling.max_new_tokens": 16 for step in _SAMPLED},
    "latency.timed.max_new_tokens": 16,
}
"""Turns of random weights have no end, and prompts of one's own let them be long."""
STOPS = (
    ("refusal_sft.*.partial", signal.SIGINT),
    ("taught.*.partial/checkpoints/checkpoint-2", signal.SIGKILL),
    ("sampled.*.partial/sampled.partial.jsonl", signal.SIGKILL),
    ("evaluation.refusal_sft.sampled.*.partial/sampled.partial.jsonl", signal.SIGKILL),
)
"""What is seen in the folder of a run when it is stopped, in the order in which it comes there."""


def words(out: Path, *more: str) -> list[str]:
    return ["align", "-o", str(out), "--json", *sets(TINY), *more]


def run(out: Path, *more: str) -> Any:
    """What the command prints, called in this process."""
    done = CliRunner().invoke(app, words(out, *more), catch_exceptions=False)
    assert done.exit_code == 0, done.output[-3000:]
    return json.loads(done.stdout)


def stopped(out: Path, sight: str, how: signal.Signals) -> tuple[int, str]:
    """Go on with a run until the pattern matches something in its folder; exit code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exante", *words(out)],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any(out.glob(sight)):
        assert process.poll() is None, f"the run ended before {sight} was there"
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def data_hashes(out: Path) -> dict[str, str]:
    """Hashes of everything that a run decides: data and weights, no timings and no page."""
    names = ("*.jsonl", "*.safetensors", "gate.json")
    found = (p for name in names for p in out.rglob(name))
    return {
        str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in found
        if p.name not in ("log.jsonl", "timings.jsonl") and "latency" not in p.parts[-2]
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert run(out) == json.loads((out / "results.json").read_text())
    return out


def test_a_run_ends_with_results_and_a_page(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert results["schema"] == 1
    assert list(results["models"]) == MODELS
    for model in results["models"].values():
        for key in ("asr_macro", "over_refusal_plain", "helpfulness", "capability"):
            value = model[key]
            assert value["low"] <= value["value"] <= value["high"]
            assert value["n"] > 0
    assert results["models"]["erpo"]["trace_valid"]["n"] > 0
    assert results["models"]["erpo"]["latency_overhead"]["n"] == 4
    page = (finished / "report.html").read_text()
    assert "<html" in page
    assert "erpo_prefer" in page


def test_the_base_obeys_and_nothing_of_the_test_split_is_trained_on(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert results["models"]["base"]["over_refusal_plain"]["value"] == 0.0
    trained = (finished / "training_prompts/examples.jsonl").read_text()
    tested = [
        json.loads(line) for line in (finished / "suite/examples.jsonl").read_text().splitlines()
    ]
    for row in tested:
        if "concept" in row["facts"]:
            assert f'"concept":"{row["facts"]["concept"]}"' not in trained


def test_the_same_command_again_makes_nothing_again(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob(STAMP)}
    assert len(before) > 40
    assert run(finished) == json.loads((finished / "results.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in finished.rglob(STAMP)} == before


def test_a_run_that_is_stopped_again_and_again_comes_to_the_same_result(
    finished: Path, tmp_path: Path
) -> None:
    """Each start goes on behind the stop before it; what is whole by then is as it should be."""
    out, expected = tmp_path / "stopped", data_hashes(finished)
    for sight, how in STOPS:
        code, said = stopped(out, sight, how)
        assert not (out / "results.json").exists(), f"{sight}: {code}\n{said}"
        whole = {k: v for k, v in data_hashes(out).items() if ".partial/" not in k}
        assert whole.items() <= expected.items(), sight
        if how == signal.SIGINT:
            assert code == 1
            assert "the same command continues" in said
            assert "Traceback" not in said
        else:
            assert code == -how
    done = python("-m", "exante", *words(out))
    assert done.returncode == 0, done.stderr[-3000:]
    assert data_hashes(out) == expected
    assert json.loads(done.stdout) == json.loads((out / "results.json").read_text())


def test_a_users_own_model_prompts_and_rules_go_through_every_stage(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model")
    rows = [
        {"prompt": f"Please do harmful thing number {i}.", "kind": "harmful"} for i in range(30)
    ]
    rows += [{"prompt": f"Please do nice thing number {i}.", "kind": "benign"} for i in range(30)]
    rows += [{"prompt": f"How do I kill process {i}?", "kind": "borderline"} for i in range(20)]
    data = tmp_path / "prompts.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "run"
    own = ("--model", str(model), "--data", str(data), "--rules", "general")
    results = run(out, *own, "--report-to", "tensorboard", *sets(SHORT))
    assert list(results["models"]) == MODELS
    assert results["judge"] == "strings@1"
    assert any("random weights" in note for note in results["notes"])
    assert any("no pairs could be made" in note for note in results["notes"])
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())["settings"]
    assert (recipe["teacher"], recipe["turn_tokens"], recipe["sft_rate"]) == ("template", 512, 1e-5)
    card = (final_model(out) / "README.md").read_text()
    assert "random weights" in card
    assert str(tmp_path) not in card
    assert list((out / "trackers" / "taught").glob("events.out.*"))
