"""Kills leave no trace in a program that keeps what it finished; harm in another one is seen.

The programs are stand-ins for a run: folders with stamps, made one after the other.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from exante.bench import chaos as module
from exante.bench.chaos import ChaosResult, _Attempt, chaos
from exante.errors import InputError, RunError

SOUND = """
import json, sys, time
from pathlib import Path
run = Path(sys.argv[sys.argv.index("--output") + 1])
run.mkdir(exist_ok=True)
print("done", file=sys.stderr, flush=True)
for name in "abc":
    step, part = run / name, run / f"{name}.12345678.partial"
    if step.exists() and KEEPS:
        continue
    part.mkdir(exist_ok=True)
    for row in range(10):
        time.sleep(0.01)
        if APPENDS:
            with (part / "rows.jsonl").open("a") as file: file.write(f"{row}\\n")
    if not APPENDS:
        (part / "rows.jsonl").write_text("".join(f"{row}\\n" for row in range(10)))
    (part / "stage.json").write_text(json.dumps({"fingerprint": name, "stage": "s"}))
    if step.exists():
        for file in part.iterdir(): file.replace(step / file.name)
        part.rmdir()
    else:
        part.rename(step)
"""


def killed(
    folder: Path, *, kills: int = 8, keeps: bool = True, appends: bool = False
) -> ChaosResult:
    program = folder / "program.py"
    program.write_text(f"KEEPS, APPENDS = {keeps}, {appends}\n{SOUND}")
    return chaos(
        [sys.executable, str(program)],
        output=folder / "out",
        kills=kills,
        mean_seconds=0.2,
        seed=1,
        say=lambda line: None,
    )


def test_kills_leave_no_trace_in_a_sound_program(tmp_path: Path) -> None:
    found = killed(tmp_path)
    assert found.is_unharmed, found
    assert (found.kills >= 8, found.steps, found.passes >= 1) == (True, 3, True)
    assert sum(found.while_making.values()) == found.kills
    assert set(found.while_making) <= {"a", "b", "c", "between steps"}
    assert ChaosResult.model_validate_json((tmp_path / "out/chaos.json").read_text()) == found


def test_a_finished_step_that_is_made_again_is_seen(tmp_path: Path) -> None:
    assert "a" in killed(tmp_path, keeps=False, kills=16).redone


def test_rows_that_a_kill_doubled_are_seen(tmp_path: Path) -> None:
    found = killed(tmp_path, appends=True)
    assert found.differing
    assert not found.is_unharmed


PARENT = """
import subprocess, sys
done = subprocess.run([sys.executable, sys.argv[1], *sys.argv[2:]], stderr=sys.stderr)
sys.exit(done.returncode and 1)
"""


def test_a_child_alone_can_be_killed(tmp_path: Path) -> None:
    """The child works, and its parent ends when it does."""
    (tmp_path / "parent.py").write_text(PARENT)
    program = tmp_path / "program.py"
    program.write_text(f"KEEPS, APPENDS = True, False\n{SOUND}")
    found = chaos(
        [sys.executable, str(tmp_path / "parent.py"), str(program)],
        output=tmp_path / "out",
        kills=8,
        mean_seconds=0.2,
        seed=2,
        say=lambda line: None,
        children=True,
    )
    assert found.is_unharmed, found
    assert 0 < found.of_children < found.kills


def test_a_run_that_fails_by_itself_is_told(tmp_path: Path) -> None:
    def failing() -> ChaosResult:
        return chaos(
            [sys.executable, "-c", "import sys; sys.exit('broken inside')"],
            output=tmp_path / "out",
            kills=1,
            mean_seconds=1.0,
            seed=0,
            say=lambda line: None,
        )

    with pytest.raises(RunError, match=r"exit code 1:\nbroken inside"):
        failing()
    with pytest.raises(InputError, match="holds something already"):
        failing()


def test_a_step_that_was_stamped_and_not_yet_named_is_not_finished(tmp_path: Path) -> None:
    for name in ("made", "going.1a2b3c4d.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stage.json").write_text("{}")
    assert list(module._stamps(tmp_path)) == ["made"]


def test_what_is_being_made_may_vanish_while_it_is_looked_at(tmp_path: Path) -> None:
    """The run goes on: a link to nowhere stands for a file that was there a moment ago."""
    for name, at in (("first.1a2b3c4d.partial", 1), ("second.1a2b3c4d.partial", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.jsonl.tmp").symlink_to(tmp_path / "nowhere")
        os.utime(tmp_path / name, (at, at))
    assert module._being_made(tmp_path) == "second"
    assert list(module._times(tmp_path / "gone")) == []


def test_whoever_stops_the_benchmark_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    attempt = _Attempt(command, tmp_path / "run", tmp_path)

    def stopped(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("exante.bench.chaos.time.sleep", stopped)
    with pytest.raises(KeyboardInterrupt):
        attempt.wait(1.0, from_start=False)
    assert attempt.process.poll() is not None
