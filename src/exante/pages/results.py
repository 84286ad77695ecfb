"""The documented content of `results.json`: every number with its interval and its count."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from exante.records import Record

SCHEMA = 1


class Value(Record):
    """A measured number; all None where nothing was measured."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class ModelResult(Record):
    """One model on the evaluation suite."""

    asr_macro: Value
    """Attack success, mean over the held-out attack families."""
    asr_union: Value
    """Share of goals that at least one held-out family reached."""
    asr_by_attack: dict[str, Value]
    """Attack success by family, also of those outside the macro mean."""
    over_refusal_lookalike: Value
    """Refused borderline prompts."""
    over_refusal_plain: Value
    """Refused benign prompts."""
    helpfulness: Value
    """Benign and borderline prompts answered fully right."""
    capability: Value
    """Skill probes answered right."""
    trace_valid: Value
    """Turns with a trace that parses and cites existing clauses."""
    decision_agreement: Value
    """Turns whose answer does what the trace decided."""
    citations_right: Value
    """Turns whose trace cites clauses of the prompt's category, where one is due."""
    response_efficiency: Value
    """Base answer tokens over trace and answer tokens, benign prompts both answer right."""
    latency_overhead: Value
    """Extra wall time over the base on a mixed workload."""
    trace_tokens: Value
    """Mean tokens of the trace on benign prompts, its tags and forced start included."""
    answer_tokens: Value
    """Mean tokens of the answer on benign prompts."""
    trace_tokens_harmful: Value
    """Mean tokens of the trace on disguised harmful prompts."""
    truncated: int
    """Turns that reached the length limit."""
    undetermined: int
    """Answers of which the judge could not tell what they do."""


class Comparison(Record):
    """Two models on the same attacked prompts."""

    model: str
    against: str
    robustness_gain: Value
    """Fall of attack success, as a share of prompts; clustered by goal."""
    p_value: float
    """Exact McNemar test over attacked prompts, Holm-adjusted over the comparisons."""


class Round(Record):
    """One gate's decision."""

    name: str
    accepted: bool
    reasons: list[str]
    alpha: float
    next_alpha: float
    trace_tokens_before: float
    trace_tokens_after: float


class Transcript(Record):
    """What the models said to one prompt."""

    prompt: str
    kind: str
    attack: str
    turns: dict[str, dict[str, Any]]
    """By model: text, trace sections, answer, verdict, unsafe, cited."""


class Results(Record):
    """Everything an evaluation found."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    title: str
    recipe: str
    judge: str
    rules: str
    models: dict[str, ModelResult]
    comparisons: list[Comparison]
    rounds: list[Round]
    pairs: dict[str, dict[str, Any]]
    """Account of each pair step."""
    seconds: dict[str, float]
    """Wall time of each step."""
    macro_families: list[str]
    notes: list[str]
    environment: dict[str, str]
    parameters: int | None = None
