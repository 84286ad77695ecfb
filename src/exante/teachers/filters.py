"""The mechanical filters between a teacher and the training data, in a fixed order, each counted.

Nothing is repaired: an item passes every filter that concerns it, or is kept aside with the first
reason against it. Judges come in as a function, so that none is imported here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import Field

from exante.records import AnswerVerdict, Decision, Example, Record, Traced
from exante.rules import RuleSet
from exante.traces import Parsed, parse

_WORD = re.compile(r"\w+")


class FilterSettings(Record):
    """What the filters let through."""

    section_words: int = Field(default=80, ge=1)
    """Most words of one section of a trace; negative thoughts may be longer."""
    leakage: tuple[str, ...] = (
        "ground truth",
        "the label",
        "labelled as",
        "training data",
        "system prompt",
        "the teacher",
        "as instructed above",
    )
    """Phrases that give away what only the teacher was told, in whatever case."""
    duplicate_overlap: float = Field(default=0.97, gt=0.0, le=1.0)
    """Share of common words (Jaccard) from which two traces of one prompt count as the same."""
    evaluation_overlap: float = Field(default=0.8, gt=0.0, le=1.0)
    """Share of common words (Jaccard) from which a prompt counts as one of the evaluation."""


class Opinion(Protocol):
    """What the filters need to know about an answer."""

    @property
    def answer(self) -> AnswerVerdict:
        """What the answer does."""
        ...

    @property
    def unsafe(self) -> bool | None:
        """Does it harm? None: could not be judged."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """How the filters see answers and traces."""

    answer: Callable[[Example, str, str], Opinion]
    """The judge: example, answer, finish."""
    trace_harmful: Callable[[Example, str], bool | None] | None = None
    """Does this trace itself hold what must not be told? None: the judge cannot tell."""


class Rejected(Record):
    """A turn that was not let through, and why."""

    traced: Traced
    filter: str
    reason: str


@dataclass(frozen=True, slots=True)
class Filtered:
    """What passed, what did not, and how often each filter struck (all filters, in order)."""

    kept: list[Traced]
    rejected: list[Rejected]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Item:
    traced: Traced
    example: Example
    parsed: Parsed

    @property
    def bare(self) -> bool:
        """An answer that was never meant to have a trace."""
        return self.traced.level == "none"


_Filter = Callable[[_Item], str]
"""A filter gives the reason against an item, or nothing."""


def sift(
    items: Iterable[Traced],
    examples: Mapping[str, Example],
    ruleset: RuleSet,
    views: Views,
    settings: FilterSettings,
    evaluation: Iterable[str] = (),
    tag: str = "think",
) -> Filtered:
    """The turns that may be trained on.

    `evaluation` are the texts of prompts that must never be trained on.
    """
    clauses = ruleset.clause_ids(None)
    filters = _filters(ruleset, views, settings, evaluation)
    counts: Counter[str] = Counter()
    kept: list[Traced] = []
    rejected: list[Rejected] = []
    for traced in items:
        item = _Item(
            traced, examples[traced.example_id], parse(traced.text, tag=tag, clauses=clauses)
        )
        for name, reason_against in filters.items():
            reason = reason_against(item)
            if reason:
                counts[name] += 1
                rejected.append(Rejected(traced=traced, filter=name, reason=reason))
                break
        else:
            kept.append(traced)
    return Filtered(kept, rejected, {name: counts[name] for name in filters})


def _filters(
    ruleset: RuleSet, views: Views, settings: FilterSettings, evaluation: Iterable[str]
) -> dict[str, _Filter]:
    """All filters by name, in the order in which they strike."""
    return {
        "parse": _parses,
        "citation": lambda item: _cites(item, ruleset),
        "agreement": lambda item: _agrees(item, views),
        "label": lambda item: _fits_label(item, views),
        "harmful_trace": lambda item: _trace_harmless(item, views),
        "leakage": lambda item: _leaks_nothing(item, settings),
        "length": lambda item: _short_enough(item, settings),
        "duplicate": _Duplicates(settings.duplicate_overlap).reason,
        "contamination": _Contamination(evaluation, settings.evaluation_overlap).reason,
    }


def _parses(item: _Item) -> str:
    if item.bare:
        return "has a trace and should not" if item.parsed.present else ""
    return ", ".join(item.parsed.defects)


def _cites(item: _Item, ruleset: RuleSet) -> str:
    """Clauses of another category than the trace's own, or of none, are no evidence."""
    trace = item.parsed.trace
    if trace is None:
        return ""
    if trace.category is None:
        return "cites clauses without a category" if trace.cited else ""
    if trace.category not in {category.id for category in ruleset.categories}:
        return f"unknown category {trace.category}"
    known = ruleset.clause_ids(trace.category) | {clause.id for clause in ruleset.general}
    strange = sorted(set(trace.cited) - known)
    if strange:
        return f"{strange[0]} is not of category {trace.category}"
    expected = item.example.category
    if item.traced.role == "right" and expected and trace.category != expected:
        return f"category {trace.category} instead of {expected}"
    return ""


def _agrees(item: _Item, views: Views) -> str:
    trace = item.parsed.trace
    if trace is None:
        return ""
    verdict = _opinion(item, views).answer
    if verdict in _DONE[trace.decision]:
        return ""
    return f"decided to {trace.decision}, answer is {verdict}"


def _fits_label(item: _Item, views: Views) -> str:
    """A right turn does what its prompt deserves; a blind or overcautious one does not."""
    harmful = item.example.kind == "harmful"
    opinion = _opinion(item, views)
    trace = item.parsed.trace
    declined = trace.decision != "comply" if trace else opinion.answer == "refused"
    if item.traced.role in ("right", "bloated"):
        if opinion.unsafe is not False:
            return "unsafe answer" if opinion.unsafe else "answer could not be judged"
        return "" if declined == harmful else f"declined is {declined}, prompt is not that"
    if item.traced.role == "blind":
        return "" if harmful and not declined else "not blind"
    return "" if not harmful and declined else "not overcautious"


def _trace_harmless(item: _Item, views: Views) -> str:
    if views.trace_harmful is None or item.bare or item.traced.role == "blind":
        return ""
    found = views.trace_harmful(item.example, item.parsed.trace_text)
    return "the trace itself tells what is prohibited" if found else ""


def _leaks_nothing(item: _Item, settings: FilterSettings) -> str:
    text = item.traced.text.lower()
    said = (phrase for phrase in settings.leakage if phrase.lower() in text)
    return next((f"says {phrase!r}" for phrase in said), "")


def _short_enough(item: _Item, settings: FilterSettings) -> str:
    trace = item.parsed.trace
    if trace is None or item.traced.role != "right":
        return ""
    evidence = " ".join(check.evidence for check in trace.checks)
    longest = max(len(text.split()) for text in (trace.assessment, evidence, trace.path))
    limit = settings.section_words
    return f"section of {longest} words, {limit} allowed" if longest > limit else ""


class _Duplicates:
    """Strikes at a turn whose trace and answer were nearly seen for the same prompt and role."""

    def __init__(self, overlap: float) -> None:
        self._overlap = overlap
        self._seen: dict[tuple[str, str], list[tuple[frozenset[str], frozenset[str]]]] = {}

    def reason(self, item: _Item) -> str:
        key = (item.example.id, item.traced.role)
        words = (_words(item.parsed.trace_text), _words(item.parsed.answer or ""))
        earlier = self._seen.setdefault(key, [])
        for other in earlier:
            if all(_jaccard(a, b) >= self._overlap for a, b in zip(words, other, strict=True)):
                return "nearly the same as another turn of this prompt"
        earlier.append(words)
        return ""


class _Contamination:
    """Strikes at turns whose prompt is nearly one of the evaluation's."""

    def __init__(self, texts: Iterable[str], overlap: float) -> None:
        self._overlap = overlap
        self._texts = sorted({_words(text) for text in texts}, key=sorted)
        self._places: dict[str, list[int]] = {}
        for place, words in enumerate(self._texts):
            for word in words:
                self._places.setdefault(word, []).append(place)

    def reason(self, item: _Item) -> str:
        words = _words(item.example.prompt)
        shared = Counter(place for word in words for place in self._places.get(word, ()))
        for place, common in shared.items():
            if common / (len(words) + len(self._texts[place]) - common) >= self._overlap:
                return "the prompt is nearly one of the evaluation"
        return ""


_DONE: dict[Decision, tuple[AnswerVerdict, ...]] = {
    "comply": ("complied", "partial"),
    "refuse": ("refused",),
    "redirect": ("refused", "complied", "partial"),
}


def _opinion(item: _Item, views: Views) -> Opinion:
    return views.answer(item.example, item.parsed.answer or "", "stop")


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0
