"""A run's judged turns as Inspect logs, read back with the real package."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs the extra: pip install 'exante[inspect]'")

from inspect_ai import score
from inspect_ai.log import EvalLog, EvalSample, read_eval_log
from typer.testing import CliRunner

from exante.cli import app
from exante.errors import InputError
from exante.integrations.inspect import unsafe
from exante.integrations.inspect.logs import export
from exante.pages.results import Results, read_results
from exante.records import Judged
from exante.stages.judge import judged_of
from exante.workflows.evaluation import Evidence, evaluation_recipe
from exante.workflows.performing import run_document
from exante.workflows.rejudging import rejudge_recipe

LIMITS = {"harmful": 2, "benign": 2, "borderline": 2, "capability": 1}
SMALL = {
    "suite.limits": LIMITS,
    "attacked.limits": {**LIMITS, "benign": 0, "borderline": 0, "capability": 0},
    "evaluation.sampled.sampling.max_new_tokens": 24,
    "evaluation.repeated.sampling.max_new_tokens": 24,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "check"
    document = evaluation_recipe(
        ["miniature"],
        {"seed": 0},
        ["direct", "answer_prefill", "spelled_word"],
        Evidence(second_judge="strings", samples=2),
    )
    assert run_document(document, changes=SMALL, out=out) is not None
    return out


@pytest.fixture(scope="module")
def logs(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[EvalLog]:
    made = export(run, tmp_path_factory.mktemp("logs"))
    return [read_eval_log(str(path)) for path in made]


def judged(run: Path, step: str) -> dict[tuple[str, int], Judged]:
    return {
        (j.generation.example_id, j.generation.sample): j
        for j in judged_of(run / f"evaluation.miniature.{step}")
    }


def number(sample: EvalSample, name: str) -> float | None:
    assert sample.scores is not None
    value = sample.scores[name].value
    assert isinstance(value, float | int)
    return None if math.isnan(value) else float(value)


def test_every_turn_is_there_with_its_verdict(run: Path, logs: list[EvalLog]) -> None:
    evaluation, repeated = logs
    for log, step, task in (
        (evaluation, "judged", "evaluation"),
        (repeated, "repeated_judged", "repeated"),
    ):
        assert (log.status, log.eval.task, log.eval.model) == ("success", task, "exante/miniature")
        turns = judged(run, step)
        assert {(s.id, s.epoch - 1) for s in log.samples or []} == set(turns)
        for sample in log.samples or []:
            known = turns[str(sample.id), sample.epoch - 1]
            answer = known.judgement.answer
            told = {"unsafe": known.judgement.unsafe, "refused": answer == "refused"}
            for name, expected in told.items():
                assert number(sample, name) == (None if answer == "undetermined" else expected)
            assert sample.output.usage is not None
            assert sample.output.usage.reasoning_tokens == known.judgement.trace_tokens
            length = known.generation.finish == "length"
            assert sample.output.stop_reason == ("max_tokens" if length else "stop")


def test_prompt_prefill_and_answer_join_to_the_turn(run: Path, logs: list[EvalLog]) -> None:
    turns = judged(run, "judged")
    prefilled = 0
    for sample in logs[0].samples or []:
        turn = turns[str(sample.id), 0].generation
        before = sample.messages[:-1]
        prefill = before[-1].text if before[-1].role == "assistant" else ""
        prefilled += bool(prefill)
        assert prefill + sample.output.completion == turn.text
        assert (sample.metadata["attack"] == "answer_prefill") == bool(prefill)
    assert prefilled == LIMITS["harmful"]


def test_the_numbers_are_those_of_the_report(run: Path, logs: list[EvalLog]) -> None:
    results = read_results(run / "results.json")
    model = results.models["miniature"]
    for log, score_name, metric, expected in (
        (logs[0], "unsafe", "asr_macro", model.asr_macro.value),
        (logs[0], "refused", "over_refusal_plain", model.over_refusal_plain.value),
        (logs[0], "useful", "capability", model.capability.value),
        (logs[0], "second_unsafe", "asr_macro", results.second_opinions[0].asr_macro.value),
        (logs[1], "unsafe", "asr_at_2", model.asr_at_k["2"].value),
    ):
        assert log.results is not None
        found = {s.name: s.metrics for s in log.results.scores}[score_name]
        assert found[metric].value == expected


def test_the_same_run_gives_the_same_logs(run: Path, logs: list[EvalLog], tmp_path: Path) -> None:
    again = [read_eval_log(str(path)) for path in export(run, tmp_path / "again")]
    assert [_content(log) for log in again] == [_content(log) for log in logs]
    assert str(run) not in json.dumps([_content(log) for log in logs])


def _content(log: EvalLog) -> dict[str, Any]:
    """All but where it lies and the ids that Inspect gives to messages."""
    return _without(log.model_dump(mode="json", exclude={"location", "etag"}), ("id",))


def _without(value: Any, names: Iterable[str]) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, names) for k, v in value.items() if k not in names}
    return [_without(v, names) for v in value] if isinstance(value, list) else value


def test_a_log_can_be_scored_again_by_another_judge(logs: list[EvalLog]) -> None:
    rescored = score(logs[0], unsafe("miniature"), action="append", display="none")
    for sample in rescored.samples or []:
        assert sample.scores is not None
        if sample.scores["refused"].answer != "truncated":
            assert number(sample, "unsafe1") == number(sample, "unsafe")


def test_what_was_judged_anew_in_the_run_is_exported_too(run: Path, tmp_path: Path) -> None:
    document, given = rejudge_recipe(run, "strings")
    out = run / "rejudged-strings"
    results = run_document(document, changes={}, out=out, given=given)
    assert isinstance(results, Results)
    anew = [read_eval_log(str(path)) for path in export(out, tmp_path)]
    assert [log.eval.task for log in anew] == ["evaluation", "repeated"]
    assert {(log.eval.metadata or {})["judge"] for log in anew} == {"strings@1"}


def test_inspect_itself_can_dump_what_the_command_wrote(run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(run), "--inspect", str(tmp_path / "logs")])
    assert done.exit_code == 0, done.output
    paths = done.output.split()
    assert [Path(p).parent for p in paths] == [tmp_path / "logs"] * 2
    inspect = Path(sys.executable).with_name("inspect")
    dumped = subprocess.run(
        [str(inspect), "log", "dump", paths[0]], capture_output=True, text=True, check=True
    )
    assert json.loads(dumped.stdout)["eval"]["model"] == "exante/miniature"


def test_a_folder_without_a_report_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no report"):
        export(tmp_path / "nowhere", tmp_path / "logs")
    with pytest.raises(InputError, match="holds no report"):
        export(tmp_path, tmp_path / "logs")
