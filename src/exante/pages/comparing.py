"""The page of `exante compare`: methods in one table, on one plane, and the front in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markupsafe import Markup

from exante.pages import charts, plots
from exante.pages.compared import Compared, Method
from exante.pages.numbers import Value
from exante.pages.plots import Panel, Spot, Tone
from exante.pages.render import environment, printable
from exante.pages.wording import Unit, label, rounded

_SMALL, _LARGE = 3.5, 10.0
"""Radius of the points with the fewest and the most tokens, in pixels."""
_NAMED = 4
"""Most methods that a headline names."""


@dataclass(frozen=True, slots=True)
class Column:
    """One measure of the table."""

    field: str
    title: str
    unit: Unit
    better: Literal["lower", "higher"] = "lower"

    @property
    def meaning(self) -> str:
        """The definition, as the schema gives it."""
        return Method.model_fields[self.field].description or ""

    def of(self, method: Method) -> Value:
        """The method's number."""
        found: Value = getattr(method, self.field)
        return found


COLUMNS = (
    Column("direct", "No disguise", "share"),
    Column("trained", "Trained attacks", "share"),
    Column("held_out", "Held-out attacks", "share"),
    Column("union", "Any held-out", "share"),
    Column("over_refusal", "Over-refusal", "share"),
    Column("helpfulness", "Helpful, of base", "share", "higher"),
    Column("tokens", "Tokens", "tokens"),
    Column("waiting", "Before answer", "tokens"),
    Column("efficiency", "Efficiency", "ratio", "higher"),
)
"""Of the table in the terminal and on the page."""


def page(compared: Compared) -> str:
    """The page as text to be saved as UTF-8."""
    text = (
        environment()
        .get_template("compare.html")
        .render(
            compared=compared,
            rows=[compared.base, *compared.methods],
            columns=COLUMNS,
            headline=headline(compared),
            front=front(compared),
            others=others(compared),
            notes=notes(compared),
            planes=_planes(compared),
            status=status,
            axis=charts.axis(
                [v for c in compared.comparisons for v in (c.robustness_gain, c.over_refusal_rise)],
                0.0,
            ),
            style=Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8")),
        )
    )
    return printable(text)


def headline(compared: Compared) -> str:
    """Where the reference method stands."""
    name = label(compared.reference)
    row = next(m for m in compared.methods if m.name == compared.reference)
    if row.collapsed:
        return f"{name} collapsed: it {row.collapsed}"
    if row.behind:
        return f"{name} is behind {_listed([label(n) for n in row.behind])}"
    others = [label(m.name) for m in compared.front if m.name != row.name]
    listed = _listed(others) if len(others) <= _NAMED else f"{len(others)} others"
    beside = f", beside {listed}" if others else ", alone"
    return (
        f"{name} is on the Pareto front{beside}" if row in compared.front else f"{name}: no rates"
    )


def front(compared: Compared) -> list[str]:
    """The front in words, the method that fewest attacks reach first."""
    ordered = sorted(compared.front, key=lambda m: (m.held_out.value or 0.0, m.name))
    return [f"{label(m.name)}: {_numbers(m)}." for m in ordered]


def others(compared: Compared) -> list[str]:
    """All other methods, and what is better."""
    found = []
    for row in compared.methods:
        if row.collapsed:
            found.append(f"{label(row.name)} collapsed: it {row.collapsed}.")
        elif row.behind:
            ahead = _listed([label(n) for n in row.behind])
            found.append(f"{label(row.name)}, {_numbers(row)}, is behind {ahead}.")
        elif not row.held_out.n:
            found.append(f"{label(row.name)} was not measured under held-out attacks.")
    return found


def status(row: Method, compared: Compared) -> str:
    """What became of a method, in a word or two."""
    if row.name == compared.base.name:
        return "start"
    if row.collapsed:
        return "collapsed"
    if row.behind:
        return "behind"
    return "front" if row in compared.front else "not measured"


def notes(compared: Compared) -> list[str]:
    """What must be known before believing a number."""
    found = [
        f"{label(m.name)} collapsed: it {m.collapsed}." for m in compared.methods if m.collapsed
    ]
    if len(compared.seeds) == 1:
        found.append("One seed: the intervals say nothing of how other seeds would turn out.")
    return found


def _numbers(row: Method) -> str:
    return (
        f"{rounded(row.held_out.value, 'share')} of held-out attacks, "
        f"{rounded(row.over_refusal.value, 'share')} of look-alikes refused, "
        f"{rounded(row.tokens.value, 'tokens')} tokens"
    )


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _planes(compared: Compared) -> list[Panel]:
    """Held-out attacks beside over-refusal, the larger a point the more tokens; then the corner."""
    rows = [r for r in (compared.base, *compared.methods) if r.held_out.n and r.over_refusal.n]
    lengths = [row.tokens.value or 0.0 for row in rows]
    least, most = min(lengths, default=0.0), max(lengths, default=0.0)

    def spot(row: Method) -> Spot:
        share = ((row.tokens.value or 0.0) - least) / (most - least) if most > least else 0.0
        tone: Tone = "last" if row in compared.front else "other"
        if row.name == compared.base.name:
            tone = "baseline"
        name = label(row.name) + (" †" if row.collapsed else "")
        radius = round(_SMALL + (_LARGE - _SMALL) * share, 1)
        return Spot(name, row.over_refusal, row.held_out, tone, radius)

    return plots.enlarged(
        [spot(row) for row in rows],
        across="Over-refusal of look-alikes",
        up="Success of held-out attacks",
    )
