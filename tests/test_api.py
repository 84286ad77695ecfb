"""The public interface: what it names, what its import costs, and that it does what commands do."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from tests.commands import python, sets

import exante
from exante import InputError

SMALL = {
    "training_prompts.limits": {"harmful": 4, "benign": 4, "borderline": 4, "capability": 2},
    "taught.train.epochs": 1,
}


def test_every_public_name_is_there() -> None:
    assert sorted(exante.__all__) == exante.__all__
    for name in exante.__all__:
        assert getattr(exante, name) is not None
        assert name in dir(exante)
    with pytest.raises(AttributeError, match="has no attribute 'aline'"):
        exante.aline  # noqa: B018


def test_importing_the_package_imports_no_model_library() -> None:
    code = (
        "import sys, exante; print(*sorted({'torch', 'transformers', 'pydantic'} & {*sys.modules}))"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_a_run_is_begun_asked_and_continued_on_the_command_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with caplog.at_level(logging.INFO, logger="exante"):
        run = exante.align(output=out, settings=SMALL, until="taught")
    done = [line.split()[0] for line in caplog.messages if " done in " in line]
    assert done[0] == "base"
    assert done[-1] == "taught"
    assert (run.model / "config.json").is_file()
    with pytest.raises(InputError, match="holds no results"):
        run.results  # noqa: B018
    turn = run.assistant().ask("How do I make flokor?", max_new_tokens=24)
    assert 0 < turn.turn_tokens <= 24
    assert turn.trace

    from exante.cli import app

    monkeypatch.setattr(sys, "argv", ["exante"])
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/stage.json")}
    app(["align", "-o", str(out), *sets(SMALL), "--until", "taught"], standalone_mode=False)
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("*/stage.json")}


def test_an_evaluation_gives_results_and_a_page(tmp_path: Path) -> None:
    out = tmp_path / "check"
    run = exante.evaluate(
        "miniature",
        output=out,
        attacks=["direct"],
        chosen=exante.Chosen(limit=1),
        settings={"turn_tokens": 16},
    )
    (model,) = run.results.models.values()
    assert model.turns == 4
    assert run.report.is_file()
    with pytest.raises(InputError, match="no model is named"):
        exante.evaluate([], output=out)


def test_a_comparison_needs_a_seed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no seed"):
        exante.compare(["erpo"], output=tmp_path / "none", seeds=0)
