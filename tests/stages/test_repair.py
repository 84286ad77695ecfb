"""A repair sets aside what is damaged and nothing else; the rest of the run is kept as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import tiny_model
from tests.turns import quiet
from typer.testing import CliRunner

from exante.cli import app
from exante.errors import ArtefactError, InputError
from exante.stages.base import STAMP, Config, Inputs, Stage, locked, perform, stamp_of
from exante.stages.repair import RunState, examined, set_aside
from exante.stages.source import STAGE as SOURCE
from exante.stages.source import SourceConfig

CLI = CliRunner()


def made(run: Path, first: str = "rows\n") -> list[str]:
    """Make, or go on with, a run of three steps in a row; the names of those that were made now."""
    names: list[str] = []

    def stage(name: str, text: str) -> Stage:
        def write(config: Config, inputs: Inputs, out: Path, tell: object) -> dict[str, Any]:
            names.append(name)
            (out / "rows.jsonl").write_text(text)
            return {}

        return Stage(name, 1, Config, write, optional=("before",))

    first_step = perform(stage("a", first), Config(), Inputs({}), run / "a", quiet)
    inputs = Inputs({"before": {"a": first_step}})
    second = perform(stage("b", "b\n"), Config(), inputs, run / "b", quiet)
    perform(stage("c", "c\n"), Config(), Inputs({"before": {"b": second}}), run / "c", quiet)
    return names


@pytest.fixture
def run(tmp_path: Path) -> Path:
    assert made(tmp_path / "run") == ["a", "b", "c"]
    return tmp_path / "run"


def states(found: RunState) -> dict[str, str]:
    return {step.step: step.state for step in found.steps}


def test_a_whole_run_is_left_as_it_is(run: Path) -> None:
    before = sorted(path.name for path in run.iterdir())
    assert states(set_aside(run)) == {"a": "whole", "b": "whole", "c": "whole"}
    assert sorted(path.name for path in run.iterdir() if path.name != ".lock") == before


def test_only_the_damaged_step_is_moved_and_only_it_is_made_again(run: Path) -> None:
    (run / "a/rows.jsonl").write_text("torn")
    with pytest.raises(ArtefactError, match="is damaged"):
        made(run)
    found = set_aside(run)
    assert states(found) == {"a": "damaged", "b": "whole", "c": "whole"}
    assert found.moved == {"a": str(run / "damaged/a-1")}
    assert (run / "damaged/a-1/rows.jsonl").read_text() == "torn"
    assert made(run) == ["a"]
    (run / "a/rows.jsonl").unlink()
    assert set_aside(run).moved == {"a": str(run / "damaged/a-2")}


def test_what_was_made_from_an_input_that_comes_out_otherwise_is_made_again_too(run: Path) -> None:
    (run / "a/rows.jsonl").unlink()
    set_aside(run)
    with pytest.raises(ArtefactError, match="b: was made from another a than the one"):
        made(run, first="as another machine computes it\n")
    found = set_aside(run)
    assert states(found) == {"a": "whole", "b": "damaged", "c": "whole"}
    # It comes out as before, so that what stands on it is kept.
    assert made(run, first="as another machine computes it\n") == ["b"]


def test_what_a_quick_look_misses_is_found(run: Path) -> None:
    import os

    path = run / "b/rows.jsonl"
    times = path.stat()
    path.write_text("x\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert made(run) == []
    assert states(examined(run))["b"] == "damaged"


def test_a_stamp_that_cannot_be_read_is_a_damage(run: Path) -> None:
    (run / "b" / STAMP).write_text('{"fingerprint": ')
    with pytest.raises(ArtefactError, match="its stamp cannot be read"):
        made(run)
    assert set_aside(run).moved.keys() == {"b"}
    assert made(run) == ["b"]


def test_old_stamps_are_told_and_left(run: Path) -> None:
    stamp = {k: v for k, v in stamp_of(run / "b").items() if k not in ("files", "content", "read")}
    (run / "b" / STAMP).write_text(json.dumps(stamp))
    (run / "b/rows.jsonl").unlink()
    assert states(set_aside(run))["b"] == "unlisted"
    told = CLI.invoke(app, ["repair", str(run), "--check"])
    assert (told.exit_code, "not known: b" in told.output) == (0, True)


def test_a_model_outside_is_named_and_not_moved(tmp_path: Path) -> None:
    model, run = tiny_model(tmp_path / "model"), tmp_path / "run"
    base = perform(SOURCE, SourceConfig(model=str(model)), Inputs({}), run / "base", quiet)
    assert states(examined(run)) == {"base": "whole"}
    settings = (model / "generation_config.json").read_text()
    (model / "generation_config.json").write_text(settings.replace("{", '{"top_k": 7,', 1))
    (step,) = set_aside(run).steps
    assert (step.state, base.is_dir()) == ("outside", True)
    assert f"other weights now: {model}" in step.because[0]
    model.rename(tmp_path / "gone")
    told = CLI.invoke(app, ["repair", str(run)])
    assert told.exit_code == 1
    assert f"base: the model that it points at is not there: {model}" in told.output


def test_the_command_says_what_it_finds_and_does(run: Path) -> None:
    (run / "a/rows.jsonl").write_text("torn")
    (run / "c/more.jsonl").write_text("")
    told = CLI.invoke(app, ["repair", str(run), "--check"])
    assert told.exit_code == 1
    assert told.output.splitlines()[:2] == [
        "a: rows.jsonl was changed",
        "c: more.jsonl is none of its files",
    ]
    assert "2 of 3 steps damaged, 1 whole" in told.output
    assert not (run / "damaged").exists()
    done = CLI.invoke(app, ["repair", str(run)])
    assert done.exit_code == 0
    assert f"moved to {run / 'damaged/c-1'}" in done.output
    as_json = CLI.invoke(app, ["repair", str(run), "--json"])
    assert json.loads(as_json.output)["steps"] == [{"step": "b", "state": "whole", "because": []}]
    assert made(run) == ["a", "c"]


def test_nothing_is_moved_under_another_process_or_in_no_run(run: Path, tmp_path: Path) -> None:
    with locked(run), pytest.raises(InputError, match="another exante process"):
        set_aside(run)
    with pytest.raises(InputError, match="holds no finished step"):
        set_aside(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_step_that_lost_its_stamp_is_set_aside_and_a_folder_of_the_users_stays(run: Path) -> None:
    loop: dict[str, Any] = {"repeat": 2, "steps": {"b": {}}}
    group: dict[str, Any] = {"each": {"one": {}}, "steps": {"b": {}}}
    steps = {"a": {}, "c": {}, "rounds": loop, "group": group, "odd": None}
    (run / "recipe.yaml").write_text(json.dumps({"steps": steps}))
    lost = ["c", "rounds-2b-b", "group.one.b"]
    others = ["notes", "rounds-x-b", "group.two.b", "odd", "a.12345678.partial"]
    for name in (*lost[1:], *others):
        (run / name).mkdir()
    (run / "c" / STAMP).unlink()
    with pytest.raises(ArtefactError, match=f"set aside by exante repair {run}"):
        made(run)
    found = set_aside(run)
    assert sorted(found.moved) == sorted(lost)
    assert all(step.because == ("stage.json is missing",) for step in found.of("damaged"))
    assert all((run / name).is_dir() for name in others)
    assert made(run) == ["c"]
    (run / "recipe.yaml").write_text("[]")
    (run / "c" / STAMP).unlink()
    assert states(set_aside(run)) == {"a": "whole", "b": "whole"}


def test_a_step_that_is_being_made_is_left_though_it_was_stamped(run: Path) -> None:
    (run / "c").rename(run / "c.12345678.partial")
    (run / "c.12345678.partial" / "rows.jsonl").write_text("more than was stamped")
    assert states(set_aside(run)) == {"a": "whole", "b": "whole"}
    assert (run / "c.12345678.partial").is_dir()
    assert made(run) == ["c"]
    assert stamp_of(run / "c")["record"]["number"] == 3
