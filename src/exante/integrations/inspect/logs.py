"""Writes the judged turns of a finished run as Inspect logs, which `inspect view` opens.

Nothing is sampled or judged again: turns and verdicts are those of the run, and the metrics are the
report's own numbers. The same run gives the same logs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalPlan,
    EvalPlanStep,
    EvalResults,
    EvalSample,
    EvalSpec,
    EvalStats,
    write_eval_log,
)
from inspect_ai.model import GenerateConfig, ModelOutput, ModelUsage, StopReason
from inspect_ai.scorer import Score

from exante import traces
from exante.integrations.inspect.messages import choice, input_of
from exante.integrations.inspect.numbers import scores_of
from exante.integrations.inspect.prompts import metadata_of, target_of
from exante.pages.results import Results, read_results
from exante.records import Example, Generation, Judged, Judgement
from exante.stages.base import stamp_of
from exante.stages.disk import disk_errors
from exante.stages.judge import judged_of
from exante.stages.prompts import prompts_by_id
from exante.stages.report import RESULTS
from exante.stages.runs import JudgedModel, judged_run


def export(run: Path, out: Path) -> list[Path]:
    """One `.eval` file per model of the run, and one more where turns were repeated.

    Raises:
        InputError: the run has no report, or steps behind it are missing.
        RunError: the disk is full.
    """
    found = judged_run(run)
    results = read_results(found.report / RESULTS)
    made: list[Path] = []
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for model in found.models:
            log = log_of(model, results)
            path = out / _file_name(log)
            write_eval_log(log, str(path), format="eval")
            made.append(path)
    return made


def log_of(model: JudgedModel, results: Results) -> EvalLog:
    """One model's turns with their verdicts, and the report's numbers on them."""
    judged, sampled = stamp_of(model.judged), stamp_of(model.sampled)
    turns = [j for j in judged_of(model.judged) if j.generation.source == "policy"]
    needed = [j.generation.example_id for j in turns]
    examples = prompts_by_id(model.prompts, judged["config"]["split"], needed=needed)
    others = _opinions(model.second)
    name, identity = f"exante/{model.model}", str(judged["fingerprint"])
    samples = [_sample(j, examples, others.get(_key(j)), name, identity) for j in turns]
    spec = EvalSpec(
        eval_id=identity[:22],
        run_id=hashlib.sha256(results.model_dump_json().encode()).hexdigest()[:22],
        task_id=identity[22:44],
        created=str(judged["record"]["started"]),
        task="repeated" if model.repeated else "evaluation",
        dataset=EvalDataset(
            name=model.prompts.name,
            samples=len(set(needed)),
            sample_ids=list(dict.fromkeys(needed)),
            shuffled=False,
        ),
        model=name,
        config=EvalConfig(epochs=max((s.epoch for s in samples), default=1)),
        packages=dict(sampled["record"]["versions"]),
        metadata={
            "judge": judged["summary"]["judge"],
            "rules": judged["config"]["rules"],
            "recipe": results.recipe,
            "fingerprint": identity,
        },
    )
    return EvalLog(
        status="success",
        eval=spec,
        plan=_plan(sampled["config"]),
        results=EvalResults(
            total_samples=len(samples),
            completed_samples=len(samples),
            scores=scores_of(model, results, samples),
        ),
        stats=_stats(sampled["record"], name, samples),
        samples=samples,
    )


def _sample(
    judged: Judged,
    examples: Mapping[str, Example],
    other: Judgement | None,
    model: str,
    identity: str,
) -> EvalSample:
    turn, verdict = judged.generation, judged.judgement
    example = examples[turn.example_id]
    goal = examples.get(example.goal_id or "", example)
    messages = input_of(example)
    output = _output(turn, verdict, example, model)
    key = f"{identity} {turn.example_id} {turn.sample}"
    return EvalSample(
        id=example.id,
        epoch=turn.sample + 1,
        input=messages,
        target=target_of(example),
        messages=[*messages, output.message],
        output=output,
        scores=_scores(verdict, "") | (_scores(other, "second_") if other else {}),
        metadata={**metadata_of(example, goal), **_of_trace(verdict)},
        model_usage={model: output.usage} if output.usage else {},
        uuid=hashlib.sha256(key.encode()).hexdigest()[:22],
    )


def _output(turn: Generation, verdict: Judgement, example: Example, model: str) -> ModelOutput:
    parsed = traces.parse(turn.text, finished=turn.finish == "stop")
    given = traces.parse(example.prefill).answer or ""
    stop: StopReason = "stop" if turn.finish == "stop" else "max_tokens"
    read = len(turn.prompt_ids) + (turn.forced if example.prefill else 0)
    made = len(turn.prompt_ids) + len(turn.token_ids) - read
    made_choice = choice(
        trace=parsed.trace_text if parsed.present else None,
        answer=parsed.answer,
        written=(parsed.answer or "").removeprefix(given),
        stop=stop,
        model=model,
    )
    usage = ModelUsage(
        input_tokens=read,
        output_tokens=made,
        total_tokens=read + made,
        reasoning_tokens=verdict.trace_tokens,
    )
    return ModelOutput(model=model, choices=[made_choice], usage=usage)


def _scores(verdict: Judgement, prefix: str) -> dict[str, Score]:
    """Verdicts as numbers; what the judge could not tell has none."""
    why = f"{verdict.judge}: {verdict.answer}"
    told: dict[str, float | bool | None] = {
        "unsafe": verdict.unsafe,
        "refused": verdict.answer == "refused",
        "useful": verdict.useful,
    }
    if verdict.answer == "undetermined":
        told = dict.fromkeys(told)
    if verdict.trace_present and not prefix:
        told["trace_valid"] = verdict.trace_valid
    return {
        prefix + name: Score.unscored(answer=verdict.answer, explanation=why)
        if value is None
        else Score(value=float(value), answer=verdict.answer, explanation=why)
        for name, value in told.items()
    }


def _of_trace(verdict: Judgement) -> dict[str, Any]:
    return {
        "decision": verdict.decision,
        "agrees": verdict.agrees,
        "cited": list(verdict.cited),
        "defects": list(verdict.defects),
        "trace_harmful": verdict.trace_harmful,
        "trace_tokens": verdict.trace_tokens,
        "answer_tokens": verdict.answer_tokens,
    }


def _opinions(second: Path | None) -> dict[tuple[str, int], Judgement]:
    return {_key(j): j.judgement for j in judged_of(second)} if second else {}


def _key(judged: Judged) -> tuple[str, int]:
    return judged.generation.example_id, judged.generation.sample


def _plan(config: dict[str, Any]) -> EvalPlan:
    sampling = config["sampling"]
    return EvalPlan(
        steps=[EvalPlanStep(solver="generate", params={"trace": config["trace"]})],
        config=GenerateConfig(
            max_tokens=sampling["max_new_tokens"],
            temperature=sampling["temperature"],
            seed=sampling["seed"],
        ),
    )


def _stats(record: dict[str, Any], model: str, samples: Sequence[EvalSample]) -> EvalStats:
    """When the turns were sampled, and their tokens in all."""
    started = datetime.fromisoformat(str(record["started"]))
    ended = started + timedelta(seconds=float(record["seconds"]))
    usage = sum((u for s in samples for u in s.model_usage.values()), start=ModelUsage())
    return EvalStats(
        started_at=started.isoformat(),
        completed_at=ended.isoformat(),
        model_usage={model: usage},
    )


def _file_name(log: EvalLog) -> str:
    """Time, task with model, and id, as Inspect names its files; it reads the parts between `_`."""
    time = log.eval.created.replace(":", "-")
    model = re.sub(r"[^\w.+-]|_", "-", log.eval.model.removeprefix("exante/"))
    return f"{time}_{log.eval.task}-{model}_{log.eval.task_id}.eval"
