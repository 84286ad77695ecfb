"""Whole runs at a small size: the miniature, a user's own files, a kill, a planted regression."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.tiny import tiny_model

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


def command(out: Path, *more: str) -> list[str]:
    changes = [f"{key}={json.dumps(value)}" for key, value in TINY.items()]
    sets = [word for change in changes for word in ("--set", change)]
    return [sys.executable, "-m", "exante", "align", "-o", str(out), "--json", *sets, *more]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def run(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(out, *more), capture_output=True, text=True, env=environment(), check=False
    )


def data_hashes(out: Path) -> dict[str, str]:
    """Hashes of everything that a run decides: data and weights, no timings and no page."""
    names = ("*.jsonl", "*.safetensors", "gate.json")
    found = (p for name in names for p in out.rglob(name))
    return {
        str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in found
        if p.name not in ("log.jsonl", "timings.jsonl") and "latency" not in p.parts[-2]
    }


def wait_for(out: Path, pattern: str, process: subprocess.Popen[Any]) -> None:
    """Return as soon as a run has come so far that the pattern matches something in its folder."""
    while not any(out.glob(pattern)):
        assert process.poll() is None, f"the run ended before {pattern} was there"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = run(out)
    assert done.returncode == 0, done.stderr[-3000:]
    (out.parent / "stdout.json").write_text(done.stdout)
    return out


def test_a_run_ends_with_results_and_a_page(finished: Path) -> None:
    printed = json.loads((finished.parent / "stdout.json").read_text())
    results = json.loads((finished / "results.json").read_text())
    assert printed == results
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
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*.safetensors")}
    done = run(finished)
    assert done.returncode == 0
    assert "done" not in done.stdout
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*.safetensors")} == before


@pytest.mark.parametrize(
    "sight",
    [
        "taught.*.partial/checkpoints/checkpoint-2",
        "sampled.*.partial/sampled.partial.jsonl",
        "evaluation.refusal_sft.sampled.*.partial/sampled.partial.jsonl",
    ],
)
def test_a_killed_run_continues_to_the_same_result(
    finished: Path, tmp_path: Path, sight: str
) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(
        command(out), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(out, sight, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "results.json").exists()
    done = run(out)
    assert done.returncode == 0, done.stderr[-3000:]
    assert data_hashes(out) == data_hashes(finished)


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    process = subprocess.Popen(command(out), env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for(out, "refusal_sft.*.partial", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the same command continues" in errors
    assert "Traceback" not in errors


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
    done = run(out, *own, "--report-to", "tensorboard")
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((out / "results.json").read_text())
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
