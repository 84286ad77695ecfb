"""The whole command at its smallest; arms run in this process, and one in its own."""

from __future__ import annotations

import json
import math
import os
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exante.bench import parity
from exante.bench.data import warmup_steps
from exante.bench.lab import Lab, plain_setup
from exante.bench.launch import Data, Launcher, environment
from exante.bench.meter import Meter
from exante.bench.parity import Parity
from exante.bench.request import GemmRates, Prepared, Request, Setup, Trained
from exante.bench.spec import PRESETS
from exante.bench.training import RATIOS, bench_training
from exante.bench.worker import ARMS
from exante.cli import app
from exante.errors import InputError, RunError

TINY = PRESETS["tiny"]

# TRL calls what transformers is about to drop; that is theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*gradient_checkp")


class _RoomyMeter(Meter):
    """In one process an arm lives on what the one before it freed, and may take nothing itself."""

    def _peak(self) -> int:
        return max(super()._peak(), self._after_model) + (2 << 30)


def in_this_process(
    self: Launcher,
    arm: Any,
    name: str,
    data: Data,
    setup: Setup,
    answer: type[Any],
    weights: Path | None = None,
) -> Any:
    """As `Launcher.run`, without the seconds that a new process needs to import everything."""
    self.count += 1
    self.say(f"{name} {arm} {setup.name}")
    request = Request(
        arm=arm,
        name=name,
        spec=data.spec,
        setup=setup,
        model=data.model,
        pairs=data.pairs,
        result=data.pairs,
        weights=weights,
    )
    meter = _RoomyMeter("cpu", warmup_steps(data.spec, setup.pairs_per_batch))
    module = import_module(ARMS[request.arm])
    meter.imported()
    with redirect_stdout(StringIO()):  # TRL prints; a real process's output goes to its log
        found = answer.model_validate_json(module.run(request, meter).model_dump_json())
    self._keep(request, found)
    return found


def test_the_whole_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Launcher, "run", in_this_process)
    command = ["bench", "training", "--preset", "tiny", "--blocks", "1", "--json"]
    done = CliRunner().invoke(app, [*command, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert set(result["ratios"]) == set(RATIOS) == set(result["pairs"]) == set(result["intervals"])
    assert all(math.isfinite(value) and value > 0 for value in result["ratios"].values())
    assert result["share_of_floor"] > 0
    assert set(result["parity"]) == {"plain", "groups"}
    assert all(p["loss_difference"] <= 1e-4 for p in result["parity"].values())
    precisions = [v["setup"]["precision"] for v in result["baseline_sweep"] if v["strongest"]]
    assert precisions == ["bfloat16", "float32"]
    folder = Path(result["folder"])
    rows = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    assert {row["arm"] for row in rows} == {"prepare", "exante", "trl", "gemm"}
    assert not (folder / "work").exists()


def test_a_process_of_its_own_and_how_it_fails(tmp_path: Path) -> None:
    told: list[str] = []
    launcher = Launcher(tmp_path, told.append)
    data = Data(TINY, tmp_path / "model", tmp_path / "pairs.jsonl")
    setup = plain_setup(TINY)
    made = launcher.run("prepare", "data", data, setup, Prepared)
    assert made.pairs == 12
    assert len(made.weights_hash) == 64
    (tmp_path / "pairs.jsonl").write_text("no pair\n", encoding="utf-8")
    with pytest.raises(RunError) as caught:
        launcher.run("gemm", "broken", data, setup, GemmRates)
    assert "broken: the gemm arm" in str(caught.value)
    assert "pairs.jsonl:1" in str(caught.value)
    assert len(told) == 2


def test_both_sides_get_the_same_environment() -> None:
    shell = {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "7"}
    setup = plain_setup(TINY)
    tuned = environment(shell, setup, "cpu")
    assert "MALLOC_ARENA_MAX" not in tuned
    assert tuned["OMP_NUM_THREADS"] == "1"
    plain = environment(shell, setup.model_copy(update={"allocator": "default"}), "cpu")
    assert {k for k in tuned if k not in plain} == {
        "MALLOC_MMAP_THRESHOLD_",
        "MALLOC_TRIM_THRESHOLD_",
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"loss_difference": math.nan}, "losses differ"),
        ({"loss_difference": 2e-4}, "losses differ"),
        ({"weight_difference": 2e-4}, "final weights differ"),
        ({"move_difference": 0.5}, "final weights differ"),
        ({"loss_moved": 1e-5}, "prove nothing"),
    ],
)
def test_the_gate_stops_what_is_not_equal(changed: dict[str, float], said: str) -> None:
    good: dict[str, Any] = {
        "steps": 20,
        "loss_difference": 1e-6,
        "loss_moved": 0.1,
        "weight_difference": 1e-7,
        "move_difference": 1e-4,
        "losses": [],
        "their_losses": [],
    }
    parity._gate(Parity(**good), "good")
    with pytest.raises(RunError, match=said):
        parity._gate(Parity(**{**good, **changed}), "bad")


def test_without_trl_there_is_one_clear_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("exante.bench.training.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"exante\[dev\]"):
        bench_training(TINY, blocks=1, parts=["strongest"], output=tmp_path, say=print)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_engine_gives_no_speed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def wrong(self: Lab, name: str, data: Data, setup: Setup, weights: Path | None = None) -> Any:
        slower = data.spec.but(learning_rate=data.spec.learning_rate / 2)
        changed = Data(slower, data.model, data.pairs) if setup.trl is None else data
        return self.launcher.run(
            "exante" if setup.trl is None else "trl", name, changed, setup, Trained, weights
        )

    monkeypatch.setattr(Launcher, "run", in_this_process)
    monkeypatch.setattr(Lab, "train", wrong)
    with pytest.raises(RunError, match="do not compute the same"):
        bench_training(TINY, blocks=1, parts=["strongest"], output=tmp_path, say=print)
