"""A stage's folder is complete or absent, and never silently another stage's."""

from __future__ import annotations

import errno
import os
import shutil
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.commands import python
from tests.turns import quiet

from exante import plugins
from exante.errors import ArtefactError, InputError, RunError
from exante.stages import STAGES
from exante.stages.base import (
    Config,
    Inputs,
    Stage,
    Tell,
    fingerprint_of,
    locked,
    model_of,
    perform,
    point_at,
    stamp_of,
)


class Count(Config):
    """Settings of the stage in these tests."""

    until: int = 3
    fail_at: int = -1


def count(config: Count, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
    """Append numbers to a file, continuing where an earlier try stopped."""
    path = out / "numbers.txt"
    done = len(path.read_text().split()) if path.exists() else 0
    for number in range(done, config.until):
        if number == config.fail_at and not (out / "failed").exists():
            (out / "failed").write_text("")
            raise KeyboardInterrupt
        with path.open("a") as file:
            file.write(f"{number}\n")
        tell(number + 1, config.until, "numbers")
    return {"from": done}


COUNT = Stage("count", 1, Count, count)
AFTER = Stage("after", 1, Config, lambda c, i, o, t: {}, reads=("numbers",))
NONE = Inputs({})


def test_a_finished_stage_is_not_performed_again(tmp_path: Path) -> None:
    perform(COUNT, Count(), NONE, tmp_path / "a", quiet)
    before = (tmp_path / "a/numbers.txt").stat().st_mtime_ns
    perform(COUNT, Count(), NONE, tmp_path / "a", quiet)
    assert (tmp_path / "a/numbers.txt").stat().st_mtime_ns == before
    assert not list(tmp_path.glob("*.partial"))


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    perform(COUNT, Count(), NONE, tmp_path / "a", quiet)
    with pytest.raises(ArtefactError, match=r"config\.until") as caught:
        perform(COUNT, Count(until=4), NONE, tmp_path / "a", quiet)
    assert "--output" in str(caught.value)
    assert (tmp_path / "a/numbers.txt").read_text().split() == ["0", "1", "2"]


def test_what_only_tells_of_other_steps_is_made_anew_when_they_change(tmp_path: Path) -> None:
    told, out = Stage("told", 1, Count, count, renewed=True), tmp_path / "a"
    perform(told, Count(), NONE, out, quiet)
    perform(told, Count(until=1), NONE, out, quiet)
    assert (out / "numbers.txt").read_text().split() == ["0"]
    before = (out / "stage.json").stat().st_mtime_ns
    perform(told, Count(until=1), NONE, out, quiet)
    assert (out / "stage.json").stat().st_mtime_ns == before
    other = Stage("other", 1, Count, count, renewed=True)
    with pytest.raises(ArtefactError, match=r"config\.until"):
        perform(other, Count(until=2), NONE, out, quiet)
    (out / "mine.txt").write_text("notes")
    with pytest.raises(ArtefactError, match=r"mine\.txt"):
        perform(told, Count(until=2), NONE, out, quiet)
    assert (out / "mine.txt").read_text() == "notes"


def test_an_interrupted_stage_continues_and_leaves_no_folder_before_it_is_complete(
    tmp_path: Path,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        perform(COUNT, Count(fail_at=2), NONE, tmp_path / "a", quiet)
    assert not (tmp_path / "a").exists()
    perform(COUNT, Count(fail_at=2), NONE, tmp_path / "a", quiet)
    assert stamp_of(tmp_path / "a")["summary"] == {"from": 2}
    assert (tmp_path / "a/numbers.txt").read_text().split() == ["0", "1", "2"]


@pytest.mark.parametrize("at", ["contents_of", "put_in_place"])
def test_a_kill_between_the_last_work_and_the_name_costs_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def kill(*_: Path) -> None:
        raise KeyboardInterrupt

    def trained(config: Count, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
        (out / "checkpoints").mkdir(exist_ok=True)
        (out / "checkpoints/state").write_text("")
        return count(config, inputs, out, tell)

    stage = Stage("trained", 1, Count, trained)
    with monkeypatch.context() as patched:
        patched.setattr(f"exante.stages.base.{at}", kill)
        with pytest.raises(KeyboardInterrupt):
            perform(stage, Count(), NONE, tmp_path / "a", quiet)
    assert not (tmp_path / "a").exists()
    (partial,) = tmp_path.glob("a.*.partial")
    assert (partial / "checkpoints").exists() == (at == "contents_of")
    perform(stage, Count(), NONE, tmp_path / "a", quiet)
    # What was stamped is not even looked at again; else the stage finds all of its work.
    made = stamp_of(tmp_path / "a")
    assert made["summary"] == {"from": 3 if at == "contents_of" else 0}
    assert set(made["files"]) == {"numbers.txt"}
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["numbers.txt", "stage.json"]


def test_what_was_stamped_from_an_input_that_came_out_otherwise_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = iter(("one", "other"))

    def written(config: Config, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
        (out / "text").write_text(next(texts))
        return {}

    def kill(*_: Path) -> None:
        raise KeyboardInterrupt

    source = Stage("source", 1, Config, written)
    inputs = Inputs({"numbers": {"a": perform(source, Config(), NONE, tmp_path / "a", quiet)}})
    with monkeypatch.context() as patched:
        patched.setattr("exante.stages.base.put_in_place", kill)
        with pytest.raises(KeyboardInterrupt):
            perform(AFTER, Config(), inputs, tmp_path / "b", quiet)
    shutil.rmtree(tmp_path / "a")
    now = stamp_of(perform(source, Config(), NONE, tmp_path / "a", quiet))["content"]
    perform(AFTER, Config(), inputs, tmp_path / "b", quiet)
    assert stamp_of(tmp_path / "b")["read"] == {"numbers": {"a": now}}


def test_an_inputs_fingerprint_enters_the_identity(tmp_path: Path) -> None:
    first = perform(COUNT, Count(), NONE, tmp_path / "a", quiet)
    second = perform(COUNT, Count(until=2), NONE, tmp_path / "b", quiet)
    assert fingerprint_of(first) != fingerprint_of(second)
    perform(AFTER, Config(), Inputs({"numbers": {"a": first}}), tmp_path / "c", quiet)
    with pytest.raises(ArtefactError, match=r"inputs\.numbers"):
        perform(AFTER, Config(), Inputs({"numbers": {"a": second}}), tmp_path / "c", quiet)


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs numbers"):
        perform(AFTER, Config(), NONE, tmp_path / "c", quiet)


def test_a_folder_that_is_no_artefact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/precious.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="not the folder of a finished stage"):
        perform(COUNT, Count(), NONE, tmp_path / "a", quiet)
    assert (tmp_path / "a/precious.txt").read_text() == "mine"


def test_a_full_disk_is_said_and_what_was_written_stays(tmp_path: Path) -> None:
    def full(config: Count, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
        (out / "half.txt").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    stage = Stage("full", 1, Count, full)
    with pytest.raises(RunError, match="disk is full") as caught:
        perform(stage, Count(), NONE, tmp_path / "a", quiet)
    assert caught.value.exit_code == 1
    (kept,) = tmp_path.glob("a.*.partial")
    assert (kept / "half.txt").read_text() == "half"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("/elsewhere/weights", "/elsewhere/weights: permission denied"),
        ("{run}/b/rows.jsonl", "cannot be written"),
        ("{run}", "cannot be written"),
        ("/", "cannot be written"),
    ],
)
def test_a_file_that_may_not_be_read_is_no_output_that_cannot_be_written(
    tmp_path: Path, file: str, message: str
) -> None:
    def denied(config: Count, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
        raise PermissionError(errno.EACCES, "Permission denied", file.format(run=tmp_path))

    with pytest.raises(InputError, match=message):
        perform(Stage("denied", 1, Count, denied), Count(), NONE, tmp_path / "a", quiet)


def test_a_run_folder_belongs_to_one_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from exante.stages.base import locked\n"
        "from exante.errors import InputError\n"
        "try:\n"
        f"    with locked(Path({str(tmp_path)!r})): sys.exit(0)\n"
        "except InputError as error: print(error); sys.exit(3)\n"
    )
    with locked(tmp_path):
        other = python("-c", code)
        assert other.returncode == 3, other.stderr
        assert "another exante process" in other.stdout
    assert python("-c", code).returncode == 0


def test_a_clock_that_jumps_changes_a_record_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Jumping(datetime):
        """Goes back by a day each time it is asked."""

        asked = 0

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            cls.asked += 1
            return datetime(2026, 1, 30, tzinfo=UTC) - timedelta(days=cls.asked)

    monkeypatch.setattr("exante.stages.base.datetime", Jumping)
    monkeypatch.setattr("time.time", lambda: 0.0)
    first = perform(COUNT, Count(), NONE, tmp_path / "a", quiet)
    second = perform(AFTER, Config(), Inputs({"numbers": {"a": first}}), tmp_path / "b", quiet)
    records = [stamp_of(folder)["record"] for folder in (first, second)]
    assert [record["started"][:10] for record in records] == ["2026-01-29", "2026-01-28"]
    assert all(0 <= record["seconds"] < 60 for record in records)
    assert [record["number"] for record in records] == [1, 2]
    assert perform(COUNT, Count(), NONE, tmp_path / "a", quiet) == first


def test_a_stamp_tells_what_computed_it(tmp_path: Path) -> None:
    record = stamp_of(perform(COUNT, Count(), NONE, tmp_path / "a", quiet))["record"]
    assert record["threads"] == torch.get_num_threads()
    assert (record["kernels"], record["device"]) == (torch.backends.cpu.get_cpu_capability(), "cpu")
    assert record["versions"]["torch"] == version("torch")


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (errno.EFBIG, RunError, "a file may not be that large"),
        (errno.EIO, RunError, "the disk fails"),
        (errno.EROFS, InputError, "cannot be written"),
    ],
)
def test_what_a_disk_refuses_is_said(
    tmp_path: Path, code: int, kind: type[Exception], said: str
) -> None:
    def refused(config: Count, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
        raise OSError(code, os.strerror(code))

    with pytest.raises(kind, match=said):
        perform(Stage("refused", 1, Count, refused), Count(), NONE, tmp_path / "a", quiet)


def test_a_pointer_inside_a_run_survives_moving_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "trained/model").mkdir(parents=True)
    (run / "gate").mkdir()
    point_at(run / "trained/model", run / "gate")
    moved = run.rename(tmp_path / "moved")
    assert model_of(moved / "gate") == (moved / "trained/model").resolve()


def test_an_artefact_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="holds no model"):
        model_of(tmp_path)


@pytest.mark.parametrize("name", STAGES)
def test_no_setting_bears_the_name_of_an_input(name: str) -> None:
    stage: Stage = plugins.load(STAGES, name, "stage")
    assert not set(stage.config.model_fields) & {*stage.reads, *stage.optional, "stage"}
