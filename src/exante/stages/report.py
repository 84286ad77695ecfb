"""Puts all evidence of a run on one page: numbers, comparisons, gates, transcripts."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field

from exante import rules
from exante.durable import write_text
from exante.errors import InputError, unknown_name
from exante.pages.numbers import Value
from exante.pages.render import render
from exante.pages.results import Comparison, PairAccount, Point, Results, Round
from exante.records import Example, Judged, Record, write_json, write_jsonl
from exante.rows import sha256_of
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, fingerprint_of, stamp_of
from exante.stages.caveats import caveats
from exante.stages.comparisons import compare
from exante.stages.decision import decision_of
from exante.stages.evidence import (
    calibrated,
    repeated_success,
    second_opinions,
    under_defences,
)
from exante.stages.judge import judged_of
from exante.stages.latency import overhead, timings_of
from exante.stages.manifest import manifest
from exante.stages.measures import (
    Item,
    Items,
    by_family,
    items_of,
    macro_families,
    measure,
    point,
    spread,
)
from exante.stages.prompts import Split, examples_of, examples_of_all
from exante.stages.reasoning import Numbers, faithfulness, reasoning
from exante.stages.transcripts import transcripts

_ALONE = ("searched", "softened")
"""Roles of turns on prompts that were made for one model by looking at it."""
RESULTS, PAGE, ROWS = "results.json", "report.html", "rows.jsonl"


class ReportConfig(Config):
    """What the page says about itself."""

    title: str = "Ex-ante reasoning, measured"
    """Headline of the page."""
    recipe: str = ""
    """Name of the recipe that made the models."""
    rules: str
    """Rule set of the traces, to print cited clauses."""
    split: Split = "test"
    """Split of the prompts; ignored for prompts that have only one list."""
    course_split: Split = "validation"
    """Split of the prompts that the gates decided on; ignored where there is only one list."""
    base: str = "base"
    """The model that efficiency is measured against."""
    against: tuple[str, ...] = ("base", "refusal_sft")
    """Models that every other one is compared with."""
    calibration: str | None = None
    """A file that `exante judge calibrate --output` wrote: rates are shown corrected, too."""
    transcripts: int = Field(default=48, ge=0)
    """Prompts whose turns are shown."""
    seed: int = 0
    """Chooses the prompts that are shown."""


class Row(Record):
    """One prompt, one model: what stands behind every number."""

    model: str
    example_id: str
    goal_id: str
    kind: str
    attack: str
    prefilled: bool
    """Did the attacker write the start of the turn?"""
    answer: str
    unsafe: bool | None
    useful: float | None
    trace_present: bool
    trace_valid: bool
    decision: str | None
    """What the trace decided; None without a trace that parses."""
    agrees: bool | None
    trace_tokens: int
    answer_tokens: int
    finish: str


def identity(config: ReportConfig) -> dict[str, str]:
    """The content of the rules, whose clauses are printed, and of the calibration's file."""
    said = {"rules": rules.load(config.rules).hash}
    if config.calibration:
        said["calibration"] = sha256_of(Path(config.calibration))
    return said


def run(config: ReportConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write results.json, report.html and the rows behind every number.

    Raises:
        InputError: a second opinion is on no model that was judged.
    """
    examples = examples_of_all(inputs.many("prompts").values(), config.split)
    models = {
        label: items_of(examples, _all_judged(label, folder, inputs))
        for label, folder in inputs.many("judged").items()
    }
    if unknown := inputs.many("second").keys() - models.keys():
        raise unknown_name("model", min(unknown), models, where="report: second")
    results = _results(config, inputs, models, examples)
    document = results.model_dump(mode="json", by_alias=True)
    write_json(out / RESULTS, document)
    second = {
        label: {i.example.id: i.verdict for i in items_of(examples, judged_of(folder))}
        for label, folder in inputs.many("second").items()
    }
    shown = transcripts(models, config.transcripts, config.seed, second)
    write_text(out / PAGE, render(results, shown, rules.load(config.rules)))
    write_jsonl(out / ROWS, (row_of(label, i) for label, items in models.items() for i in items))
    return {"models": list(models), "prompts": len(examples)}


def _all_judged(label: str, folder: Path, inputs: Inputs) -> list[Judged]:
    """A model's turns on the common prompts and on those that were made for it alone."""
    alone = [inputs.many(role)[label] for role in _ALONE if label in inputs.many(role)]
    return [turn for place in (folder, *alone) for turn in judged_of(place)]


def _results(
    config: ReportConfig,
    inputs: Inputs,
    models: dict[str, list[Item]],
    examples: Sequence[Example],
) -> Results:
    base = models.get(config.base, [])
    timings = {label: timings_of(folder) for label, folder in inputs.many("latency").items()}
    latency = {label: overhead(found) for label, found in timings.items()}
    first = next(iter(models.values()))
    people, known = calibrated(Path(config.calibration)) if config.calibration else (None, None)
    repeated = _repeated(config, inputs)
    stamps = {label: stamp_of(folder) for label, folder in inputs.many("steps").items()}
    about_traces = _about_traces(config, inputs, models)
    return Results(
        schema=1,
        title=config.title,
        recipe=config.recipe,
        judge=first[0].verdict.judge if first else "",
        rules=config.rules,
        models={
            label: measure(items, base, latency.get(label), known).model_copy(
                update={
                    "asr_at_k": repeated.get(label, {}),
                    "seconds_per_turn": spread([t.seconds for t in timings.get(label, [])]),
                    **about_traces[label],
                }
            )
            for label, items in models.items()
        },
        comparisons=_comparisons(models, config),
        rounds=[_round(label, folder) for label, folder in inputs.many("gates").items()],
        course=_course(inputs, config),
        pairs={
            k: PairAccount.model_validate(stamp_of(f)["summary"])
            for k, f in inputs.many("pairs").items()
        },
        seconds={k: float(stamp["record"]["seconds"]) for k, stamp in stamps.items()},
        macro_families=macro_families(by_family(first)),
        notes=caveats(models, stamps),
        environment=_environment(),
        parameters=_parameters(stamps),
        calibration=people,
        second_opinions=second_opinions(models, examples, inputs.many("second")),
        defences=under_defences(inputs, config.split),
        manifest=manifest(stamps),
    )


def _repeated(config: ReportConfig, inputs: Inputs) -> dict[str, dict[str, Value]]:
    """Success within k turns, by model, where prompts were answered several times."""
    attacked = inputs.optional("repeated_prompts")
    if attacked is None:
        return {}
    return repeated_success(examples_of(attacked, config.split), inputs.many("repeated"))


def _parameters(stamps: Mapping[str, Mapping[str, Any]]) -> int | None:
    """Of the first model whose step counted them."""
    counted = (stamp["summary"].get("parameters") for stamp in stamps.values())
    return next((count for count in counted if count is not None), None)


def _environment() -> dict[str, str]:
    versions = {name: version(name) for name in ("torch", "transformers", "exante")}
    return {"python": platform.python_version(), **versions, "machine": platform.machine()}


def _about_traces(
    config: ReportConfig, inputs: Inputs, models: Mapping[str, Items]
) -> dict[str, Numbers]:
    """Cells, citations and, where traces were edited, what followed; by model.

    Raises:
        InputError: the folders of edits and of what followed do not belong together.
    """
    ruleset = rules.load(config.rules)
    found = {label: reasoning(items, ruleset) for label, items in models.items()}
    edits, edited = inputs.many("edits"), inputs.many("edited")
    if edits.keys() != edited.keys() or edits.keys() - models.keys():
        raise InputError(
            "edits and edited need the same labels, and each the label of a judged model",
            where="report",
            fix="see docs/faithfulness.md",
        )
    for label in edits:
        found[label] |= faithfulness(edits[label], edited[label], models[label])
    return found


def _comparisons(models: dict[str, list[Item]], config: ReportConfig) -> list[Comparison]:
    anchors = [name for name in config.against if name in models]
    pairs = [
        (m, a) for a in anchors for m in models if m != a and m not in anchors[: anchors.index(a)]
    ]
    return compare(models, pairs)


def _round(label: str, folder: Path) -> Round:
    gate = decision_of(folder)
    return Round(
        name=label,
        accepted=gate["accepted"],
        reasons=gate["reasons"],
        alpha=gate["alpha"],
        next_alpha=gate["next_alpha"],
        trace_tokens_before=gate["trace_tokens"]["before"],
        trace_tokens_after=gate["trace_tokens"]["after"],
        checks=gate["checks"],
    )


def _course(inputs: Inputs, config: ReportConfig) -> list[Point]:
    """The models on the way, as the gates saw them, with what was decided about each."""
    decisions = {
        fingerprint: decision_of(folder)["accepted"]
        for folder in inputs.many("gates").values()
        for fingerprint in stamp_of(folder)["inputs"].get("after", {}).values()
    }
    prompts = inputs.optional("course_prompts")
    examples = examples_of(prompts, config.course_split) if prompts else []
    return [
        point(
            label.removesuffix("_judged"),
            items_of(examples, judged_of(folder)),
            decisions.get(fingerprint_of(folder)),
        )
        for label, folder in inputs.many("course").items()
    ]


def row_of(label: str, item: Item) -> Row:
    """The line of `rows.jsonl` for one turn."""
    verdict = item.verdict
    return Row(
        model=label,
        example_id=item.example.id,
        goal_id=item.goal,
        kind=item.example.kind,
        attack=item.example.attack,
        prefilled=item.forced,
        answer=verdict.answer,
        unsafe=verdict.unsafe,
        useful=verdict.useful,
        trace_present=verdict.trace_present,
        trace_valid=verdict.trace_valid,
        decision=verdict.decision,
        agrees=verdict.agrees,
        trace_tokens=verdict.trace_tokens,
        answer_tokens=verdict.answer_tokens,
        finish=item.judged.generation.finish,
    )


STAGE = Stage(
    "report",
    2,
    ReportConfig,
    run,
    reads=("judged", "prompts"),
    optional=("latency", "gates", "pairs", "course", "course_prompts")
    + ("edits", "edited", "second", "repeated", "repeated_prompts", "steps")
    + ("defended", "defence_prompts")
    + _ALONE,
    identity=identity,
    renewed=True,
)
