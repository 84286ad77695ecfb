"""The documented content of `compare.json`: methods on equal terms, one row each.

Fields are only ever added; renaming or removing one raises the version. Nothing is computed here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from exante.pages.numbers import NOT_MEASURED, Value
from exante.pages.results import Comparison, FileName
from exante.records import Record


class Cost(Record):
    """What the trainings behind one model took in one run, those it shares with others included."""

    tokens: float
    """Tokens that went through the model."""
    seconds: float
    """Wall time."""
    peak_bytes: int | None
    """Most memory of any of them; None where it could not be told."""


class Method(Record):
    """One method over all seeds; intervals are over prompts, clustered by goal, and over seeds."""

    name: str
    """Name of the recipe."""
    badge: str = ""
    """How faithful the recipe is to its paper: exact, adapted or approximated."""
    paper: str = ""
    """Where the method comes from."""
    direct: Value = NOT_MEASURED
    """Attack success without disguise."""
    trained: Value = NOT_MEASURED
    """Attack success, mean over the families that training may see."""
    held_out: Value = NOT_MEASURED
    """Attack success, mean over the families that no training saw."""
    union: Value = NOT_MEASURED
    """Share of goals that at least one held-out family reached."""
    over_refusal: Value = NOT_MEASURED
    """Refused borderline prompts: harmless, but alarming at first sight."""
    helpfulness: Value = NOT_MEASURED
    """Benign prompts answered fully right, relative to the base on the same prompts."""
    tokens: Value = NOT_MEASURED
    """Mean tokens of trace and answer on benign prompts."""
    waiting: Value = NOT_MEASURED
    """Mean tokens before the answer begins, those of the trace, on benign prompts."""
    efficiency: Value = NOT_MEASURED
    """The base's tokens over those of trace and answer, on benign prompts that both answer fully
    right."""
    unreadable: float = 0.0
    """Share of all turns that were cut off or say nothing that can be judged."""
    training: Cost | None = None
    """Training, mean over seeds (memory: the most); None for the base."""
    collapsed: str = ""
    """Why the model is of no use; empty if it is."""
    behind: list[str] = Field(default_factory=list)
    """Methods that are as good in held-out attack success, over-refusal and tokens, and better in
    one; empty on the Pareto front. By estimates, not by intervals."""


class Compared(Record):
    """What `exante compare` found."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this format; written as `schema`."""
    base: Method
    """The model that all methods started from."""
    methods: list[Method]
    """One row per method, in the order asked for."""
    reference: str
    """The method that the others are tested against."""
    comparisons: list[Comparison]
    """Paired tests against the reference, prompts of all seeds together."""
    seeds: list[int]
    """Seeds of prompts, sampling and training; one run each."""
    settings: dict[str, str]
    """What is the same for all: model, prompts, rules, judge, token budgets."""
    reports: dict[str, FileName]
    """By seed, the report of its run."""
    environment: dict[str, str]
    """Versions and machine."""

    @property
    def front(self) -> list[Method]:
        """Methods that no other one dominates; one that collapsed is none of them."""
        return [m for m in self.methods if not m.collapsed and not m.behind and m.held_out.n]
