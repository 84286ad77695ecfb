"""Two runs beside each other: where they part, why, and down to which row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from exante.cli import app
from exante.errors import InputError
from exante.pages.card import CARD
from exante.stages.base import MODEL_POINTER, Config, Inputs, Stage, perform
from exante.stages.differences import StepDifference, differences

Rows = list[dict[str, Any]]


class Settings(Config):
    """Settings of the stage in these tests."""

    size: int = 1
    rate: float = 0.5


def run_of(folder: Path, rows: Rows, *, last: str = "end", **settings: Any) -> Path:
    """A run of three steps: one with settings and rows, one that reads it, one that holds times."""

    def written(config: Config, inputs: Inputs, out: Path, tell: object) -> dict[str, Any]:
        (out / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        (out / MODEL_POINTER).write_text(json.dumps({"path": str(folder)}))
        (out / CARD).write_text(f"# {folder}")
        return {"seconds": 3}

    def weighed(config: Config, inputs: Inputs, out: Path, tell: object) -> dict[str, Any]:
        (out / "model").mkdir()
        save_file(
            {"a": torch.ones(2), "b": torch.full((3,), len(rows) / 2)}, out / "model/w.safetensors"
        )
        return {}

    def timed(config: Config, inputs: Inputs, out: Path, tell: object) -> dict[str, Any]:
        (out / "times.json").write_text(json.dumps({"path": str(folder)}))
        return {}

    def tell(done: int, total: int, note: str) -> None:
        """Progress goes nowhere."""

    # The reader's name sorts before its source's: order is that of making, not of names.
    first = perform(
        Stage("rows", 1, Settings, written), Settings(**settings), Inputs({}), folder / "zero", tell
    )
    read = Inputs({"rows": {"zero": first}})
    perform(
        Stage("weigh", 1, Settings, weighed, reads=("rows",)),
        Settings(),
        read,
        folder / "after",
        tell,
    )
    perform(Stage("latency", 1, Settings, timed), Settings(), Inputs({}), folder / last, tell)
    return folder


ROWS: Rows = [{"id": "a", "ids": [1, 2]}, {"id": "b", "ids": [3, 4]}]


def told(step: StepDifference) -> list[tuple[str, str, str]]:
    return [(change.place, change.left, change.right) for change in step.changes]


def test_runs_of_the_same_settings_are_the_same(tmp_path: Path) -> None:
    found = differences(run_of(tmp_path / "a", ROWS), run_of(tmp_path / "b", ROWS))
    assert (found.steps, found.same, found.not_compared) == ((), 2, ("end",))


def test_a_setting_is_named_before_what_follows_from_it(tmp_path: Path) -> None:
    right = run_of(tmp_path / "b", [*ROWS, {"id": "c"}], rate=0.25)
    first, second = differences(run_of(tmp_path / "a", ROWS), right).steps
    assert (first.step, first.kind, second.step, second.kind) == (
        "zero",
        "settings",
        "after",
        "inputs",
    )
    assert told(first) == [
        ("config.rate", "0.5", "0.25"),
        ("rows.jsonl:3", "missing", '{"id": "c"}'),
    ]
    ((place, _, _),) = told(second)
    assert place == "model/w.safetensors: 1 of 2 tensors, first b, at most 0.5 apart"


def test_the_first_row_and_field_that_differ(tmp_path: Path) -> None:
    right = run_of(tmp_path / "b", [ROWS[0], {"id": "b", "ids": [3, 5, 6]}])
    (step,) = differences(run_of(tmp_path / "a", ROWS), right).steps
    assert (step.step, step.kind) == ("zero", "content")
    assert told(step) == [("rows.jsonl:2.ids.1", "4", "5")]


def test_steps_that_one_run_lacks(tmp_path: Path) -> None:
    left = run_of(tmp_path / "a", ROWS)
    right = run_of(tmp_path / "b", ROWS, last="other")
    missing = {step.step: step.missing_in for step in differences(left, right).steps}
    assert missing == {"end": "right", "other": "left"}


def test_single_steps_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = run_of(tmp_path / "a", ROWS), run_of(tmp_path / "b", ROWS[:1])
    assert differences(left / "zero", (right / "zero").rename(right / "moved")).steps[0].changes
    monkeypatch.chdir(left / "zero")
    assert differences(Path(), right / "moved").steps[0].changes


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    left, right = run_of(tmp_path / "a", ROWS), run_of(tmp_path / "b", ROWS)
    (right / "after/model/w.safetensors").write_bytes(b"\xff" * 20)
    (step,) = differences(left, right).steps
    assert "cannot be read" in step.changes[0].left


def test_damaged_rows_are_told(tmp_path: Path) -> None:
    left, right = run_of(tmp_path / "a", ROWS), run_of(tmp_path / "b", ROWS)
    (right / "zero/rows.jsonl").write_bytes(b'{"id": "\xff"}\n')
    (step,) = differences(left, right).steps
    assert told(step) == [
        ("rows.jsonl:1", '{"id": "a", "ids": [1, 2]}', '"{\\"id\\": \\"\\\\xff\\"}\\n"')
    ]


def test_what_computed_steps_that_came_out_otherwise_is_told(tmp_path: Path) -> None:
    left, right = run_of(tmp_path / "a", ROWS), run_of(tmp_path / "b", ROWS[:1])
    for path in right.glob("*/stage.json"):
        stamp = json.loads(path.read_text())
        stamp["record"] |= {"threads": 64, "number": 9, "started": "1970-01-01"}
        stamp["record"]["versions"]["torch"] = "0.1"
        path.write_text(json.dumps(stamp))
    first, _ = differences(left, right).steps
    assert [change.place for change in first.made_with] == ["versions.torch", "threads"]
    shown = CliRunner().invoke(app, ["diff", str(left), str(right)])
    assert f"  made with threads {torch.get_num_threads()} | 64\n" in shown.output
    # Where nothing differs, it is no matter what computed it.
    (right / "zero/rows.jsonl").write_bytes((left / "zero/rows.jsonl").read_bytes())
    assert [step.step for step in differences(left, right).steps] == ["after"]


def test_a_folder_without_steps(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished step"):
        differences(tmp_path, tmp_path)


def test_the_command_tells_it_and_its_exit_code(tmp_path: Path) -> None:
    left, right = str(run_of(tmp_path / "a", ROWS)), str(run_of(tmp_path / "b", ROWS, size=2))
    same = CliRunner().invoke(app, ["diff", left, left])
    assert (same.exit_code, "nothing differs" in same.output) == (0, True)
    other = CliRunner().invoke(app, ["diff", left, right])
    assert other.exit_code == 1
    assert "zero (rows): asked for something else\n  config.size: 1 | 2\n" in other.output
    assert (
        "after (weigh): stands on steps that differ\n  its own content is the same" in other.output
    )
    as_json = CliRunner().invoke(app, ["diff", left, right, "--json"])
    assert json.loads(as_json.output)["steps"][0]["step"] == "zero"
