"""What a turn decided, by which clauses: the record that goes with every answer."""

from __future__ import annotations

from typing import Literal

from exante import traces
from exante.records import Decision, Record
from exante.rules import RuleSet

Mode = Literal["full", "hidden", "adaptive", "off"]
"""`full` gives the trace, `hidden` keeps it back, `adaptive` cuts it short where it names no risk,
`off` closes it before it begins."""
MODES: tuple[Mode, ...] = ("full", "hidden", "adaptive", "off")


class DecisionRecord(Record):
    """One turn, without any text of it."""

    decision: Decision | None
    """What the trace decided; None where it states nothing."""
    category: str | None
    """Risk category that the trace names."""
    cited: tuple[str, ...]
    """Clauses that it checked, in order."""
    violated: tuple[str, ...]
    """Those of them that it found violated."""
    valid: bool
    """Does the trace parse, cite clauses that exist, and decide as its checks say?"""
    defects: tuple[str, ...]
    """What is wrong with it."""
    closed_early: bool
    """Was it ended by the server, at the cap or as a short form?"""
    mode: Mode
    """How the server opens and shows traces."""
    rules: str | None
    """Rule set that clauses were looked up in; None: any id passes."""
    rules_hash: str | None
    """SHA-256 of its content."""


def decision_record(
    text: str,
    *,
    tag: str,
    finished: bool,
    closed_early: bool,
    mode: Mode,
    rules: RuleSet | None,
) -> DecisionRecord:
    """The record of a whole turn; `finished` is False for one that its length limit cut."""
    clauses = rules.clause_ids() if rules else None
    parsed = traces.parse(text, tag=tag, clauses=clauses, finished=finished)
    trace = parsed.trace
    checks = trace.checks if trace else ()
    return DecisionRecord(
        decision=trace.decision if trace else None,
        category=trace.category if trace else None,
        cited=trace.cited if trace else (),
        violated=tuple(check.clause for check in checks if check.verdict == "violated"),
        valid=parsed.valid,
        defects=parsed.defects,
        closed_early=closed_early,
        mode=mode,
        rules=rules.name if rules else None,
        rules_hash=rules.hash if rules else None,
    )
