"""The ex-ante reasoning format: render, parse, escape, measure.

Text in, values out; which clauses exist is told by the caller, and no model enters here. The form:

    <think><assess>TEXT [CATEGORY]</assess><verify>CLAUSE VERDICT: EVIDENCE; CLAUSE VERDICT</verify>
    <calibrate>DECISION: PATH</calibrate></think>ANSWER

on one line. `[CATEGORY]`, `: EVIDENCE` and `: PATH` may be absent, and `verify` too where no
category was named. White space around any part is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from exante.errors import InputError
from exante.records import Decision

Verdict = Literal["violated", "met", "not-met"]
"""Prohibited clauses are violated or not-met; allowed ones are met or not-met."""

Defect = Literal[
    "no_open",
    "no_close",
    "order",
    "missing_section",
    "unknown_clause",
    "no_decision",
    "decision_conflict",
    "truncated",
]
"""What is wrong with a trace. `unknown_clause` also stands for a check that cannot be read."""

Start = Literal["open", "free", "closed"]
"""How a turn begins: a runtime opens the trace, forces nothing, or closes it before it began."""

SECTIONS = ("assess", "verify", "calibrate")

_DECISIONS: tuple[str, ...] = get_args(Decision)
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_VERDICT = "|".join(get_args(Verdict))
_CATEGORY_AT_END = re.compile(rf"\[({_NAME})\]\s*\Z")
_CHECK = re.compile(rf"\s*({_NAME})\s+({_VERDICT})\s*(?::(.*))?\Z", re.DOTALL)
_BETWEEN_CHECKS = re.compile(rf";(?=\s*{_NAME}\s+(?:{_VERDICT})\s*(?:[:;]|\Z))")
_FULL = ("assess", "/assess", "verify", "/verify", "calibrate", "/calibrate")
_SHORT = ("assess", "/assess", "calibrate", "/calibrate")


@dataclass(frozen=True, slots=True)
class Check:
    """One clause held against the request."""

    clause: str
    verdict: Verdict
    evidence: str = ""

    def __post_init__(self) -> None:
        """Refuse an id that the text form cannot carry."""
        _require_name(self.clause, "clause id")


@dataclass(frozen=True, slots=True)
class Trace:
    """Reasoning before an answer: what is asked, which clauses matter, what shall be done.

    Raises:
        InputError: a category or clause id is not made of letters, digits, `.`, `_` and `-`.
    """

    assessment: str
    category: str | None
    """Risk category of the rule set; None says that there is no risk."""
    checks: tuple[Check, ...]
    decision: Decision
    path: str = ""
    """How the answer will go about it."""

    def __post_init__(self) -> None:
        """Refuse an id that the text form cannot carry."""
        if self.category is not None:
            _require_name(self.category, "category id")

    @property
    def cited(self) -> tuple[str, ...]:
        """Ids of all clauses checked, in order of first mention."""
        return tuple(dict.fromkeys(check.clause for check in self.checks))


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a whole assistant turn holds."""

    trace: Trace | None
    """None where the sections cannot be told apart or no decision is stated."""
    trace_text: str
    """Everything between the think tags (or after an unclosed one), section tags included."""
    answer: str | None
    """None where the trace never ends."""
    defects: tuple[Defect, ...]

    @property
    def valid(self) -> bool:
        """Is there a trace without any defect?"""
        return self.trace is not None and not self.defects

    @property
    def present(self) -> bool:
        """Did the turn open a trace, however it went on?"""
        return "no_open" not in self.defects


def opening(tag: str = "think") -> str:
    """The text that begins every trace: what a runtime forces."""
    return f"<{tag}><assess>"


def beginning(start: Start, tag: str = "think") -> str:
    """The text that a runtime forces at the start of a turn."""
    return {"open": opening(tag), "free": "", "closed": f"<{tag}></{tag}>"}[start]


def markup(tag: str = "think") -> tuple[str, ...]:
    """The words that belong to the format itself: tags, decisions and verdicts."""
    tags = (f"<{mark}{name}>" for name in (tag, *SECTIONS) for mark in ("", "/"))
    return (*tags, *_DECISIONS, *get_args(Verdict))


def render(trace: Trace, tag: str = "think") -> str:
    """The text of a trace, to be followed directly by the answer.

    Fields are normalised first, hence `parse(render(t)).trace == normalise(t)` for every trace.
    """
    trace = normalise(trace, tag)
    risk = f"[{trace.category}]" if trace.category else ""
    parts = [f"<assess>{' '.join(filter(None, (trace.assessment, risk)))}</assess>"]
    if trace.checks:
        parts.append(f"<verify>{'; '.join(map(_check_text, trace.checks))}</verify>")
    path = f": {trace.path}" if trace.path else ""
    parts.append(f"<calibrate>{trace.decision}{path}</calibrate>")
    return f"<{tag}>{''.join(parts)}</{tag}>"


def normalise(trace: Trace, tag: str = "think") -> Trace:
    """The same trace with text that means what it says when it is read back; idempotent.

    Normal form of a text: single spaces, none at the ends, our tags escaped. Of evidence also: a
    semicolon before what reads like another check is a comma. Of an assessment without category
    also: brackets of what reads like one are round.
    """
    assessment = _flat(trace.assessment, tag)
    if trace.category is None:
        assessment = _CATEGORY_AT_END.sub(r"(\1)", assessment)
    checks = tuple(
        replace(check, evidence=_BETWEEN_CHECKS.sub(",", _flat(check.evidence, tag)))
        for check in trace.checks
    )
    return replace(trace, assessment=assessment, checks=checks, path=_flat(trace.path, tag))


def escape(text: str, tag: str = "think") -> str:
    """`text` with our tags, in any case and spacing, turned into data (`&lt;think>`); idempotent.

    Nothing else changes: other markup, and `<` in formulas, stays as it is.
    """
    names = "|".join(re.escape(name) for name in (tag, *SECTIONS))
    # White space stands beside no other: split in all ways, a long run of it would take hours.
    slash = r"\s*(?:/\s*)?"
    return re.sub(rf"<(?={slash}(?:{names}){slash}>)", "&lt;", text, flags=re.IGNORECASE)


def parse(
    text: str,
    *,
    tag: str = "think",
    clauses: Collection[str] | None = None,
    finished: bool = True,
) -> Parsed:
    """Trace, answer and defects of any text; never raises.

    `clauses` are the ids that may be cited (None: any). `finished` is False for a turn that was
    cut at its length limit: an unclosed trace is then truncated, not malformed. A turn that does
    not begin with the think tag has no trace, and is an answer from its first character on.
    """
    start = _after_open(text, tag)
    if start is None:
        return Parsed(None, "", text, ("no_open",))
    body, close, rest = text[start:].partition(f"</{tag}>")
    if not close:
        return Parsed(None, body, None, ("no_close" if finished else "truncated",))
    trace, defects = _parse_body(body, tag, clauses)
    if _tags(rest, tag) and "order" not in defects:
        defects = (*defects, "order")
    return Parsed(trace, body, rest.strip(), defects)


def section_token_counts(pieces: Sequence[str], tag: str = "think") -> tuple[int, int]:
    """Lengths of trace (tags included) and answer, in tokens.

    `pieces` are the decoded strings of a turn's tokens, in order; a tag may be spread over several,
    and the token that completes the closing tag belongs to the trace.
    """
    text = "".join(pieces)
    start = _after_open(text, tag)
    if start is None:
        return 0, len(pieces)
    close = text.find(f"</{tag}>", start)
    if close < 0:
        return len(pieces), 0
    end, position = close + len(f"</{tag}>"), 0
    for count, piece in enumerate(pieces):
        if position >= end:
            return count, len(pieces) - count
        position += len(piece)
    return len(pieces), 0


def section_ends(pieces: Sequence[str], tag: str = "think") -> list[int]:
    """After how many tokens each closing tag of the trace is complete, in order.

    `pieces` are the decoded strings of a turn's tokens; a turn without trace has none.
    """
    text = "".join(pieces)
    if _after_open(text, tag) is None:
        return []
    ends = []
    closing = (found for found in _tags(text, tag) if found[1].startswith("/"))
    position, count = 0, 0
    for found in closing:
        while position < found.end():
            position, count = position + len(pieces[count]), count + 1
        ends.append(count)
        if found[1] == f"/{tag}":
            break
    return ends


def _require_name(name: str, kind: str) -> None:
    if not re.fullmatch(_NAME, name):
        raise InputError(
            f"{name!r} cannot be a {kind} of a trace", fix="use letters, digits, '.', '_' and '-'"
        )


def _flat(text: str, tag: str) -> str:
    return escape(" ".join(text.split()), tag)


def _check_text(check: Check) -> str:
    evidence = f": {check.evidence}" if check.evidence else ""
    return f"{check.clause} {check.verdict}{evidence}"


def _after_open(text: str, tag: str) -> int | None:
    begun = text.lstrip()
    open_tag = f"<{tag}>"
    return len(text) - len(begun) + len(open_tag) if begun.startswith(open_tag) else None


def _tags(text: str, tag: str) -> list[re.Match[str]]:
    names = "|".join(re.escape(name) for name in (tag, *SECTIONS))
    return list(re.finditer(rf"<(/?(?:{names}))>", text))


def _parse_body(
    body: str, tag: str, clauses: Collection[str] | None
) -> tuple[Trace | None, tuple[Defect, ...]]:
    tags = _tags(body, tag)
    names = tuple(found[1] for found in tags)
    if names not in (_FULL, _SHORT):
        complete = all(name in names and f"/{name}" in names for name in ("assess", "calibrate"))
        return None, ("order" if complete else "missing_section",)
    # Sections lie between even and odd tags; what lies between odd and even ones is stray.
    edges = [0, *(edge for found in tags for edge in found.span()), len(body)]
    inner = [body[left:right] for left, right in zip(edges[::2], edges[1::2], strict=True)]
    if any(stray.strip() for stray in inner[::2]):
        return None, ("order",)
    sections = dict(zip(names[::2], inner[1::2], strict=True))
    return _parse_sections(sections, clauses)


def _parse_sections(
    sections: dict[str, str], clauses: Collection[str] | None
) -> tuple[Trace | None, tuple[Defect, ...]]:
    defects: list[Defect] = []
    assessment, category = _parse_assessment(sections["assess"])
    verify = sections.get("verify")
    checks, readable = _parse_checks(verify or "")
    bare = not assessment and category is None
    if bare or (category if verify is None else not verify.strip()):
        defects.append("missing_section")
    if not readable or any(clauses is not None and c.clause not in clauses for c in checks):
        defects.append("unknown_clause")
    word, _, path = sections["calibrate"].partition(":")
    if word.strip() not in _DECISIONS:
        return None, (*defects, "no_decision")
    decision = cast(Decision, word.strip())
    if _conflicts(decision, checks):
        defects.append("decision_conflict")
    return Trace(assessment, category, checks, decision, _one_line(path)), tuple(defects)


def _parse_assessment(text: str) -> tuple[str, str | None]:
    found = _CATEGORY_AT_END.search(text)
    if found is None:
        return _one_line(text), None
    return _one_line(text[: found.start()]), found[1]


def _parse_checks(text: str) -> tuple[tuple[Check, ...], bool]:
    """The checks that can be read, and whether that is all of them."""
    parts = _BETWEEN_CHECKS.split(text) if text.strip() else []
    checks = tuple(_readable(parts))
    return checks, len(checks) == len(parts)


def _readable(parts: Sequence[str]) -> Iterator[Check]:
    for part in parts:
        found = _CHECK.match(part)
        if found:
            yield Check(found[1], cast(Verdict, found[2]), _one_line(found[3] or ""))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _conflicts(decision: Decision, checks: Sequence[Check]) -> bool:
    """To comply with a violation, or to refuse after checks that found none."""
    violated = any(check.verdict == "violated" for check in checks)
    return (decision == "comply" and violated) or (
        decision == "refuse" and bool(checks) and not violated
    )
