"""Results and transcripts to one self-contained HTML page.

Text of models and users is hostile: it enters the page by autoescaping templates only, and a
content security policy lets no script run but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import jinja2
from markupsafe import Markup

from exante.pages import charts, figures, plots, rows, wording
from exante.pages.numbers import ModelResult
from exante.pages.results import PairAccount, Results, Transcript, Turn

_FOLDER = Path(__file__).parent
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR_KINDS = ("safety", "usefulness", "efficiency")
_JUDGED = ("asr_macro", "over_refusal_lookalike", "over_refusal_plain")
_DECLINED = ("refused", "partial")


class Clause(Protocol):
    """A rule that a trace can cite."""

    @property
    def id(self) -> str:
        """How it is cited."""

    @property
    def text(self) -> str:
        """What it says."""


class Category(Protocol):
    """A risk category with its clauses."""

    @property
    def id(self) -> str:
        """How a trace names it."""

    @property
    def title(self) -> str:
        """What it is called."""

    @property
    def clauses(self) -> Sequence[Clause]:
        """All its clauses."""


class Rules(Protocol):
    """What the page needs of a rule set."""

    @property
    def categories(self) -> Sequence[Category]:
        """The risk categories."""

    @property
    def general(self) -> Sequence[Clause]:
        """Clauses of no category."""


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One line of a trace's second section, with what the rule set says about its clause."""

    clause: str
    text: str
    """The clause in full; empty where the rule set has none of that name."""
    said: str
    """Verdict and evidence, as the model wrote them."""


@dataclass(frozen=True, slots=True)
class Said:
    """One model's turn, ready to print."""

    model: str
    turn: Turn
    tone: str
    """good, bad, warn or open."""
    outcome: str
    """The verdict in a word."""
    category: str
    checks: tuple[CheckLine, ...]
    traced: bool
    disputed: bool
    """Another judge sees a refusal where this one sees none, or the other way round."""
    row: str
    """What `rows.jsonl` says of the turn, as JSON."""


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt and what all models said."""

    number: int
    transcript: Transcript
    turns: tuple[Said, ...]

    @property
    def models_differ(self) -> bool:
        """Did any two models earn different verdicts?"""
        return len({said.outcome for said in self.turns}) > 1


def render(
    results: Results, transcripts: Sequence[Transcript], ruleset: Rules | None = None
) -> str:
    """The page as text to be saved as UTF-8; `ruleset` adds the words of cited clauses.

    Transcripts may lack models that `results` has, and the other way round.
    """
    script = Markup((_FOLDER / "report.js").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    cases = _cases(transcripts, _clauses(ruleset), _categories(ruleset))
    page = (
        environment()
        .get_template("report.html")
        .render(
            _numbers(results),
            results=results,
            models=list(results.models),
            metrics=wording.rows(results.models.values()),
            last=next(reversed(results.models), ""),
            headline=wording.headline(results),
            finding=wording.finding(results),
            cases=cases,
            choices=_choices(cases, results),
            rows_file=next((f for f in results.files.values() if f.endswith(".jsonl")), ""),
            style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),
            script=script,
            script_hash=f"sha256-{digest}",
        )
    )
    return printable(page)


def _numbers(results: Results) -> dict[str, Any]:
    """What the sections about numbers are made of: figures, axes, columns, choices of rows."""
    models = results.models.values()
    metrics = [metric for group in wording.METRICS.values() for metric in group]
    return {
        "tradeoff": figures.tradeoff(results),
        "figures": figures.figures(results),
        "defences": figures.defences(results),
        "attack_groups": figures.attack_groups(results),
        "lengths": figures.length_columns(results),
        "comparison_axis": charts.axis(
            [v for c in results.comparisons for v in (c.robustness_gain, c.over_refusal_rise)], 0.0
        ),
        "efficiency_axis": charts.axis([m.response_efficiency for m in models], 1.0),
        "latency_axis": charts.axis([m.latency_overhead for m in models], 0.0),
        "most_tokens": max((_tokens(m) for m in models), default=0.0),
        "attempts": sorted({k for m in models for k in m.asr_at_k}, key=lambda k: (len(k), k)),
        "corrected": [f for f in _JUDGED if any(f in m.corrected for m in models)],
        "opinion_fields": _JUDGED,
        "titles": {metric.field: metric.title for metric in metrics} | rows.TITLES,
        "behind": {
            name: json.dumps(where) for name, where in rows.behind(results.macro_families).items()
        },
        "pairs": [(name, account, _kinds(account)) for name, account in results.pairs.items()],
        "most_pairs": max(
            (sum(a.kept_by_kind.values()) for a in results.pairs.values()), default=0
        ),
        "checks": list(dict.fromkeys(name for r in results.rounds for name in r.checks)),
    }


@cache
def environment() -> jinja2.Environment:
    """Templates of this folder; everything that enters them is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(charts=charts, plots=plots, wording=wording, link=rows.link)
    environment.filters.update(label=wording.label)
    return environment


def printable(page: str) -> str:
    """Control characters become visible signs, lone surrogates the replacement character."""
    return _SURROGATE.sub("\ufffd", page.translate(_CONTROLS))


def _tokens(model: ModelResult) -> float:
    return (model.trace_tokens.value or 0.0) + (model.answer_tokens.value or 0.0)


def _kinds(account: PairAccount) -> list[tuple[str, int]]:
    """Kept pairs by kind, the strict order of priority first."""
    counts = account.kept_by_kind
    names = [*_PAIR_KINDS, *(name for name in counts if name not in _PAIR_KINDS)]
    return [(name, counts[name]) for name in names if name in counts]


def _clauses(ruleset: Rules | None) -> dict[str, str]:
    if ruleset is None:
        return {}
    of_categories = [clause for category in ruleset.categories for clause in category.clauses]
    return {clause.id: clause.text for clause in (*of_categories, *ruleset.general)}


def _categories(ruleset: Rules | None) -> dict[str, str]:
    return {c.id: c.title for c in ruleset.categories} if ruleset is not None else {}


def _cases(
    transcripts: Sequence[Transcript], clauses: Mapping[str, str], titles: Mapping[str, str]
) -> list[Case]:
    return [
        Case(
            number,
            transcript,
            tuple(
                _said(name, turn, transcript, clauses, titles)
                for name, turn in transcript.turns.items()
            ),
        )
        for number, transcript in enumerate(transcripts, start=1)
    ]


def _said(
    model: str,
    turn: Turn,
    transcript: Transcript,
    clauses: Mapping[str, str],
    titles: Mapping[str, str],
) -> Said:
    tone, word = wording.outcome(transcript.kind, turn)
    declined = turn.verdict in _DECLINED
    name = turn.category or ""
    return Said(
        model=model,
        turn=turn,
        tone=tone,
        outcome=word,
        category=f"{name} {titles.get(name, '')}".strip(),
        checks=tuple(_check(text, clauses) for text in turn.checks),
        traced=bool(turn.assess or turn.checks or turn.calibrate),
        disputed=any((other in _DECLINED) != declined for other in turn.others.values()),
        row=rows.row_of(transcript, turn),
    )


def _check(text: str, clauses: Mapping[str, str]) -> CheckLine:
    clause, _, said = text.partition(" ")
    return CheckLine(clause, clauses.get(clause, ""), said)


def _choices(cases: Sequence[Case], results: Results) -> dict[str, Any]:
    """What the filters offer: what some transcript has, and attacks that a number leads to."""
    seen = {said.model for case in cases for said in case.turns}
    ordered = [name for name in results.models if name in seen]
    measured = {name for model in results.models.values() for name in model.asr_by_attack}
    only = {"changed": "the verdict changed", "models": "any two models differ"}
    if any(said.turn.others for case in cases for said in case.turns):
        only["judges"] = "the judges disagree"
    return {
        "models": ordered + sorted(seen - set(ordered)),
        "attacks": sorted(measured | {case.transcript.attack for case in cases}),
        "kinds": list(dict.fromkeys(case.transcript.kind for case in cases)),
        "verdicts": sorted({said.outcome for case in cases for said in case.turns}),
        "only": only,
    }
