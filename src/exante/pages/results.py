"""The documented content of `results.json`: every number with its interval and its count.

Fields are only ever added; renaming or removing one raises `SCHEMA`. Nothing is computed here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from exante.errors import InputError, said
from exante.pages.numbers import NOT_MEASURED, ModelResult, Number, Value
from exante.records import AnswerVerdict, Kind, Record

SCHEMA = 1


def _beside_the_page(address: str) -> str:
    """Links lead to files of the report's own folder, never to another place or a script."""
    if address.startswith(("/", "\\")) or ":" in address or ".." in Path(address).parts:
        raise ValueError(f"{address!r} is no path below the folder of the report")
    return address


FileName = Annotated[str, AfterValidator(_beside_the_page)]


class Comparison(Record):
    """Two models on the same attacked prompts."""

    model: str
    """Name of the model."""
    against: str
    """Name of the model it is compared with."""
    robustness_gain: Value
    """Fall of attack success, as a share of prompts; clustered by goal."""
    p_value: float
    """Exact McNemar test over attacked prompts, Holm-adjusted over the comparisons."""
    over_refusal_rise: Value = NOT_MEASURED
    """Rise of refused borderline prompts, as a share of them."""
    over_refusal_p_value: float | None = None
    """The same test over borderline prompts; None where there were none."""


class Check(Record):
    """One of a gate's one-sided tests: is it shown that things did not get worse?"""

    ok: bool
    """Shown at the level asked for."""
    difference: float
    """After minus before, of the rate of bad turns."""
    bound: float
    """The worst difference that the data leave possible."""
    n: int
    """Prompts of the test."""
    why: str
    """The test in words."""


class Round(Record):
    """One gate's decision."""

    name: str
    """Step of the gate."""
    accepted: bool
    """Does the round's model go on? Otherwise the one before it does."""
    reasons: list[str]
    """What spoke against it."""
    alpha: float
    """Strength of the length margin that the round was trained with."""
    next_alpha: float
    """Strength for the next round."""
    trace_tokens_before: float
    """Mean trace tokens on validation prompts at the round's start."""
    trace_tokens_after: float
    """The same of the round's result, accepted or not."""
    checks: dict[str, Check] = Field(default_factory=dict)
    """By quality: attack_success, over_refusal, usefulness, valid_traces, citations."""


class Point(Record):
    """A model on the way through the training, measured on prompts kept for that."""

    name: str
    """Stage or round, as printed under the curve."""
    split: str = "validation"
    """Prompts it was measured on."""
    accepted: bool | None = None
    """The gate's decision; None where there was no gate."""
    attack_success: Value = NOT_MEASURED
    """Unsafe answers to harmful prompts."""
    over_refusal: Value = NOT_MEASURED
    """Refused prompts that are not harmful."""
    helpfulness: Value = NOT_MEASURED
    """Benign and borderline prompts answered fully right."""
    trace_tokens: Value = NOT_MEASURED
    """Mean tokens of the trace."""
    answer_tokens: Value = NOT_MEASURED
    """Mean tokens of the answer."""


class PairAccount(Record):
    """What one pair step made of the judged turns; extra fields of the step are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    rule: str = ""
    """By which the better of two turns was told."""
    alpha: float = 0.0
    """Strength of the length margin; 0 for quality pairs."""
    prompts: int = 0
    """Prompts seen."""
    without_right: int = 0
    """Prompts with no turn fit to be imitated."""
    without_contrast: int = 0
    """Prompts with a right turn and nothing worse."""
    made: int = 0
    """Pairs found, before duplicates, caps and balance."""
    kept: int = 0
    """Pairs that were trained on."""
    kept_by_kind: dict[str, int] = Field(default_factory=dict)
    """Kept pairs by kind: safety, usefulness, efficiency."""


class Turn(Record):
    """What one model answered to one prompt, trace and answer apart."""

    assess: str = ""
    """First section of the trace: what is really asked."""
    category: str | None = None
    """Risk category that the trace names."""
    checks: list[str] = Field(default_factory=list)
    """Second section: clause, verdict and perhaps `: evidence`."""
    calibrate: str = ""
    """Third section: decision and path."""
    raw_trace: str = ""
    """The trace as written, where it does not parse."""
    answer: str = ""
    """What the user reads."""
    verdict: AnswerVerdict
    """What the answer does, as the judge says."""
    unsafe: bool | None
    """None: could not be judged."""
    useful: float | None = None
    """0 to 1: how far the answer does what was legitimately asked."""
    cited: list[str] = Field(default_factory=list)
    """Clauses that the trace cites."""
    defects: list[str] = Field(default_factory=list)
    """What is wrong with the trace's form."""
    trace_tokens: int = 0
    """Tokens of the trace."""
    answer_tokens: int = 0
    """Tokens of the answer."""
    finish: Literal["stop", "length"] | None = None
    """Did the turn end by itself, or at the length limit? None: not known."""
    others: dict[str, AnswerVerdict] = Field(default_factory=dict)
    """What other judges say that the answer does, by judge."""


class Calibration(Record):
    """How the judge's refusals agree with people's labels; refused is positive."""

    judge: str
    """Judge that was measured."""
    n: int
    """Labelled answers."""
    kappa: Number
    """Cohen's kappa: 1 is full agreement, 0 is chance."""
    precision: Value
    """Share of its refusals that people call so."""
    sensitivity: Value
    """Share of people's refusals that it finds."""
    specificity: Value
    """Share of other answers that it leaves alone."""


class SecondOpinion(Record):
    """What another judge says of one model's same turns; never averaged with the first."""

    model: str
    """Model that was judged."""
    judge: str
    """The other judge."""
    asr_macro: Value
    """Attack success as it sees it."""
    over_refusal_lookalike: Value
    """Refused borderline prompts as it sees them."""
    over_refusal_plain: Value
    """Refused benign prompts as it sees them."""
    agreement: Value
    """Turns of which both say the same: refused in full or in part, or not."""
    kappa: Number
    """Agreement of the two beyond chance (Cohen)."""


class Defended(Record):
    """One model under one defence, on plain prompts: the two axes of SODE (arXiv 2401.00287)."""

    model: str
    """Name of the model."""
    defence: str
    """Strategy around the prompt; `none` for the prompt as it is."""
    unsafe: Value
    """Unsafe answers to harmful prompts."""
    abstained: Value
    """Harmless prompts, benign and borderline, that were refused in full."""


class Transcript(Record):
    """What the models said to one prompt."""

    id: str = ""
    """Id of the prompt, as in `rows.jsonl`."""
    prompt: str
    """Last user turn, disguise included."""
    kind: Kind
    """harmful, benign, borderline or capability."""
    attack: str
    """Attack family of the prompt; `direct` for none."""
    prefill: str = ""
    """Text that the attacker put at the start of the assistant's turn."""
    turns: dict[str, Turn]
    """By model."""


class Results(Record):
    """Everything an evaluation found."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this format; written as `schema`."""
    title: str
    """What was done, in a few words."""
    recipe: str
    """Recipe that made the models."""
    judge: str
    """Judge of the answers."""
    rules: str
    """Rule set of the traces."""
    models: dict[str, ModelResult]
    """By name, in the order of making; the last one is what the recipe is for."""
    baselines: list[str] = Field(default_factory=lambda: ["refusal_sft"])
    """Models made another way: compared with, and no step of the way to the last model."""
    comparisons: list[Comparison]
    """Paired comparisons of models."""
    rounds: list[Round]
    """Decisions of the gates, in order."""
    course: list[Point] = Field(default_factory=list)
    """Stages and rounds on validation prompts, in order, rolled-back ones included."""
    pairs: dict[str, PairAccount]
    """Account of each pair step."""
    seconds: dict[str, float]
    """Wall time of each step."""
    macro_families: list[str]
    """Attack families behind `asr_macro` and `asr_union`."""
    notes: list[str]
    """Warnings that a reader needs before believing a number."""
    environment: dict[str, str]
    """Versions and machine."""
    parameters: int | None = None
    """Parameters of the model."""
    calibration: Calibration | None = None
    """The judge beside people, where labelled answers were given."""
    second_opinions: list[SecondOpinion] = Field(default_factory=list)
    """Other judges on the same turns, one per model and judge."""
    defences: list[Defended] = Field(default_factory=list)
    """Models under defences that change no weights, by strategy; `none` first."""
    manifest: dict[str, str] = Field(default_factory=dict)
    """What enters the numbers: hashes of weights, prompts, rendered prompts and rules, template,
    sampling settings, judges."""
    files: dict[str, FileName] = Field(
        default_factory=lambda: {
            "Every prompt and verdict": "rows.jsonl",
            "All numbers": "results.json",
        }
    )
    """Title to file beside the report."""


def read_results(path: Path) -> Results:
    """The content of a `results.json`.

    Raises:
        InputError: it cannot be read, is of another schema version, or does not fit; names the
            field.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"cannot be read: {error}", where=str(path), fix="give a results.json of a report"
        ) from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise InputError(
            f"holds results of schema {found!r:.60}, not {SCHEMA}",
            where=str(path),
            fix="read it with the version of exante that wrote it, or run the report again",
        )
    try:
        return Results.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{field}: {said(first['msg'])}", where=str(path), fix="run the report again"
        ) from None
