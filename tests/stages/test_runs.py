"""What a run folder holds, told from stamps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exante.errors import InputError
from exante.stages.runs import final_model, judged_run, trace_of


def step(run: Path, name: str, stage: str, **inputs: Any) -> Path:
    folder = run / name
    folder.mkdir(parents=True)
    stamp = {"stage": stage, "fingerprint": f"of {name}", "inputs": inputs}
    (folder / "stage.json").write_text(json.dumps(stamp))
    return folder


def evaluated(run: Path) -> Path:
    step(run, "suite", "attack")
    for label in ("one", "two"):
        step(run, f"{label}.sampled", "sample")
        reads = {"generations": {"x": f"of {label}.sampled"}, "prompts": {"y": "of suite"}}
        step(run, f"{label}.judged", "judge", **reads)
        step(run, f"{label}.second", "judge", **reads)
        step(run, f"{label}.repeated", "judge", **reads)
    return run


def test_what_a_report_read_is_found_whatever_the_steps_are_called(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run")
    step(
        run,
        "page",
        "report",
        judged={"two": "of two.judged", "one": "of one.judged"},
        second={"one": "of one.second"},
        repeated={"two": "of two.repeated"},
    )
    found = judged_run(run)
    assert found.report == run / "page"
    assert [(m.model, m.judged.name, m.repeated) for m in found.models] == [
        ("two", "two.judged", False),
        ("one", "one.judged", False),
        ("two", "two.repeated", True),
    ]
    assert [m.second.name if m.second else None for m in found.models] == [None, "one.second", None]
    assert {m.prompts for m in found.models} == {run / "suite"}
    assert found.models[0].sampled == run / "two.sampled"


def test_a_run_inside_another_may_stand_on_its_steps(tmp_path: Path) -> None:
    outer = evaluated(tmp_path / "run")
    inner = outer / "rejudged"
    reads = {"generations": {"x": "of one.sampled"}, "prompts": {"y": "of suite"}}
    step(inner, "again", "judge", **reads)
    step(inner, "report", "report", judged={"one": "of again"})
    (found,) = judged_run(inner).models
    assert (found.judged, found.sampled) == (inner / "again", outer / "one.sampled")


def test_a_missing_step_is_named(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run")
    step(run, "report", "report", judged={"one": "of nowhere"})
    with pytest.raises(InputError, match="judged turns of one are not in this folder"):
        judged_run(run)


def test_folders_that_are_no_steps_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "stage.json").write_text("no json")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "stage.json").write_text('["a list"]')
    with pytest.raises(InputError, match="holds no report"):
        judged_run(tmp_path)


def test_a_folder_without_a_model_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no model"):
        final_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert final_model(tmp_path) == tmp_path
    assert trace_of(str(tmp_path)) == "free"


def model_step(run: Path, name: str, **fields: str) -> Path:
    folder = step(run, name, "sft")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps({"exante_trace": "free"} | fields))
    return folder


@pytest.mark.parametrize("rounds", [0, 2])
def test_the_outcome_of_a_run_is_what_its_recipe_says(tmp_path: Path, rounds: int) -> None:
    model_step(tmp_path, "first", exante_trace="open")
    for number in range(1, rounds + 1):
        model_step(tmp_path, f"rounds-{number}-tuned")
    document = {
        "outcome": {"of": "rounds.policy"},
        "steps": {"rounds": {"carry": {"policy": ["first", "tuned"]}}},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(document))
    last = f"rounds-{rounds}-tuned" if rounds else "first"
    assert final_model(tmp_path) == tmp_path / last / "model"
    assert trace_of(str(final_model(tmp_path))) == ("free" if rounds else "open")


def test_of_an_unfinished_run_the_newest_model_is_taken(tmp_path: Path) -> None:
    for name, started in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        folder = model_step(tmp_path, name)
        stamp = json.loads((folder / "stage.json").read_text())
        stamp["record"] = {"started": started}
        (folder / "stage.json").write_text(json.dumps(stamp))
    (tmp_path / "recipe.yaml").write_text('{"outcome": {"of": "later"}, "steps": {}}')
    assert final_model(tmp_path) == tmp_path / "a" / "model"


def test_a_clock_that_jumped_back_does_not_hide_the_newest_model(tmp_path: Path) -> None:
    """What stands on what comes first; else the number of the step; the clock last."""
    for name, number, started, reads in (
        ("a", 3, "2026-01-03", {}),
        ("b", 5, "2026-01-01", {}),
        ("c", 4, "2025-12-31", {"policy": {"a": "a"}}),
    ):
        folder = model_step(tmp_path, name)
        record = {"number": number, "started": started}
        stamp = {"stage": "sft", "fingerprint": name, "inputs": reads, "record": record}
        (folder / "stage.json").write_text(json.dumps(stamp))
    (tmp_path / "recipe.yaml").write_text('{"outcome": {"of": "later"}, "steps": {}}')
    assert final_model(tmp_path) == tmp_path / "c" / "model"
    (tmp_path / "c/stage.json").unlink()
    assert final_model(tmp_path) == tmp_path / "b" / "model"


LOOP = {"carry": {"policy": ["first", "tuned"]}, "steps": {"tuned": {}, "gate": {}}}


def of_loop(run: Path, loop: dict[str, Any], **rounds: bool) -> Path:
    """A run whose rounds are gated: what it calls its outcome."""
    model_step(run, "first")
    for label, accepted in rounds.items():
        model_step(run, f"rounds-{label[1:]}-tuned")
        gate = step(run, f"rounds-{label[1:]}-gate", "gate")
        (gate / "gate.json").write_text(json.dumps({"accepted": accepted}))
    document = {"outcome": {"of": "rounds.policy"}, "steps": {"rounds": loop}}
    (run / "recipe.yaml").write_text(json.dumps(document))
    return final_model(run).parent


def test_the_tenth_round_comes_behind_the_ninth(tmp_path: Path) -> None:
    rounds = {f"n{number}": True for number in range(1, 11)}
    assert of_loop(tmp_path, LOOP, **rounds) == tmp_path / "rounds-10-tuned"


@pytest.mark.parametrize(
    ("rounds", "last"),
    [
        ({"n1": True, "n2": False, "n2b": False}, "rounds-1-tuned"),
        ({"n1": True, "n2": False, "n2b": True}, "rounds-2b-tuned"),
        ({"n1": False, "n1b": False}, "first"),
    ],
)
def test_a_round_that_its_gate_rejected_is_no_outcome(
    tmp_path: Path, rounds: dict[str, bool], last: str
) -> None:
    assert of_loop(tmp_path, {**LOOP, "gate": "gate"}, **rounds) == tmp_path / last


def test_a_retry_may_keep_the_model_of_its_round(tmp_path: Path) -> None:
    model_step(tmp_path, "rounds-1-tuned")
    gate = step(tmp_path, "rounds-1b-gate", "gate")
    (gate / "gate.json").write_text('{"accepted": true}')
    made = of_loop(tmp_path, {**LOOP, "gate": "gate"})
    assert made == tmp_path / "rounds-1-tuned"


def test_a_loop_may_start_from_what_another_carries(tmp_path: Path) -> None:
    model_step(tmp_path, "rounds-2-tuned")
    later = {"carry": {"policy": ["rounds.policy", "shorter"]}}
    document = {"outcome": {"of": "later.policy"}, "steps": {"rounds": LOOP, "later": later}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(document))
    assert final_model(tmp_path) == tmp_path / "rounds-2-tuned" / "model"


def test_a_step_that_is_being_made_is_no_model_of_the_run(tmp_path: Path) -> None:
    model_step(tmp_path, "a")
    later = model_step(tmp_path, "b.12345678.partial") / "stage.json"
    later.write_text(json.dumps({**json.loads(later.read_text()), "record": {"number": 2}}))
    assert final_model(tmp_path) == tmp_path / "a" / "model"
