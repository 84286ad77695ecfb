"""The trace format: what is written is read back, whatever is read is answered, tags stay data."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from exante.errors import InputError
from exante.traces import (
    SECTIONS,
    Check,
    Defect,
    Trace,
    beginning,
    escape,
    normalise,
    opening,
    parse,
    render,
    section_ends,
    section_token_counts,
)

REFUSAL = Trace(
    "asks for steps",
    "M02",
    (Check("M02.1", "violated", "wants the parts"), Check("M02.a1", "not-met")),
    "refuse",
    "name the concern",
)
TEXT_OF_REFUSAL = (
    "<think><assess>asks for steps [M02]</assess>"
    "<verify>M02.1 violated: wants the parts; M02.a1 not-met</verify>"
    "<calibrate>refuse: name the concern</calibrate></think>"
)
SHORT = "<think><assess>a recipe</assess><calibrate>comply</calibrate></think>"

# Text that looks like the format is far likelier here than in ordinary text.
SHARDS = [
    *(f"<{mark}{name}>" for name in ("think", *SECTIONS) for mark in ("", "/")),
    *("< THINK >", "</Think", "think>", "<", ">", "/", "&lt;", "[M01]", "[", "]", "M01", "M01.1"),
    *(" violated", " met", "not-met", ";", ":", "; M01.1 met", " ", "\n", "\u2003", "\x1c"),
    *("comply", "refuse: ", "redirect", "é", "<reason>", "</reason>"),
]
TEXT = st.lists(st.sampled_from(SHARDS) | st.text(max_size=4), max_size=8).map("".join)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,5}", fullmatch=True)
DECISIONS = st.sampled_from(("comply", "refuse", "redirect"))
CHECKS = st.builds(Check, NAMES, st.sampled_from(("violated", "met", "not-met")), TEXT)
TRACES = st.builds(
    Trace, TEXT, st.none() | NAMES, st.lists(CHECKS, max_size=4).map(tuple), DECISIONS, TEXT
)
TAGS = st.sampled_from(("think", "reason", "a.b"))


def test_the_text_form() -> None:
    assert render(REFUSAL) == TEXT_OF_REFUSAL
    assert render(Trace("a recipe", None, (), "comply")) == SHORT


def test_a_whole_turn_is_read() -> None:
    found = parse(TEXT_OF_REFUSAL + "I cannot.", clauses={"M02.1", "M02.a1"})
    assert found.trace == REFUSAL
    assert found.answer == "I cannot."
    assert found.trace_text == TEXT_OF_REFUSAL[len("<think>") : -len("</think>")]
    assert found.valid
    assert found.present


@given(TRACES, TAGS)
@example(Trace("not a category [M01]", None, (), "comply"), "think")
@example(Trace("", "A", (Check("A.1", "met", "x; A.2 met; A.3 met: y"),), "comply"), "think")
def test_what_is_rendered_is_read_back(trace: Trace, tag: str) -> None:
    found = parse(render(trace, tag) + "answer", tag=tag)
    assert found.trace == normalise(trace, tag)
    assert found.answer == "answer"


@given(TRACES, TAGS)
def test_normal_form_is_reached_at_once(trace: Trace, tag: str) -> None:
    once = normalise(trace, tag)
    assert normalise(once, tag) == once
    assert render(once, tag) == render(trace, tag)
    assert "\n" not in render(trace, tag)


def test_plain_text_is_its_own_normal_form() -> None:
    evidence = "says: a < b; and [this] & that, 100 %"
    trace = Trace("x [y] z", "A", (Check("A.1", "met", evidence),), "comply", "go: on")
    assert normalise(trace) == trace


@given(TEXT | st.text(), TAGS, st.booleans())
@example("<think>" * 3 + "</think>", "think", True)
@example(TEXT_OF_REFUSAL[:-1], "think", False)
def test_any_text_is_answered(text: str, tag: str, finished: bool) -> None:
    found = parse(text, tag=tag, clauses={"M01.1"}, finished=finished)
    assert found.valid == (found.trace is not None and not found.defects)
    assert len(set(found.defects)) == len(found.defects)
    if not found.present:
        assert (found.answer, found.trace) == (text, None)
    elif found.answer is None:
        assert found.defects == (("no_close" if finished else "truncated"),)
    else:
        assert f"</{tag}>" in text


@given(st.lists(st.sampled_from(SHARDS[:12]), max_size=10).map("".join))
def test_what_is_valid_can_be_written(shards: str) -> None:
    """Nothing passes as a trace that the format could not have produced."""
    found = parse("<think>" + shards)
    if found.trace and found.valid:
        assert parse(render(found.trace)).trace == found.trace


def variant(text: str, **changes: str) -> str:
    for old, new in changes.items():
        assert f"<{old}>" in text
        text = text.replace(f"<{old}>", new)
    return text


MALFORMED: list[tuple[str, tuple[Defect, ...]]] = [
    ("plain answer", ("no_open",)),
    ("", ("no_open",)),
    ("Sure. " + SHORT, ("no_open",)),
    ("<think><assess>a recipe", ("no_close",)),
    ("<think></think>Sure.", ("missing_section",)),
    (variant(SHORT, calibrate=""), ("missing_section",)),
    (SHORT.replace("a recipe", " "), ("missing_section",)),
    (SHORT.replace("a recipe", "a bomb [M02]"), ("missing_section",)),
    (SHORT.replace("<calibrate>", "<verify> </verify><calibrate>"), ("missing_section",)),
    (SHORT.replace("<calibrate>", "so <calibrate>"), ("order",)),
    (SHORT.replace("<calibrate>", "<verify><calibrate>"), ("order",)),
    (SHORT.replace("a recipe", "<think>"), ("order",)),
    (SHORT + "fine <verify>", ("order",)),
    (SHORT + "fine " + SHORT, ("order",)),
    (
        "<think><calibrate>comply</calibrate><assess>a recipe</assess></think>",
        ("order",),
    ),
    (TEXT_OF_REFUSAL.replace("M02.1", "M99"), ("unknown_clause",)),
    (TEXT_OF_REFUSAL.replace(" not-met", ""), ()),
    (
        TEXT_OF_REFUSAL.replace(" violated: wants the parts", ""),
        ("unknown_clause", "decision_conflict"),
    ),
    (SHORT.replace("comply", "perhaps"), ("no_decision",)),
    (SHORT.replace("comply", "complying: ok"), ("no_decision",)),
    (TEXT_OF_REFUSAL.replace("refuse:", "comply:"), ("decision_conflict",)),
    (TEXT_OF_REFUSAL.replace("violated", "not-met"), ("decision_conflict",)),
    (TEXT_OF_REFUSAL.replace("refuse:", "redirect:").replace("violated", "not-met"), ()),
    (SHORT.replace("comply", "refuse"), ()),
]


@pytest.mark.parametrize(("text", "defects"), MALFORMED)
def test_defects_are_named(text: str, defects: tuple[Defect, ...]) -> None:
    assert parse(text, clauses={"M02.1", "M02.a1"}).defects == defects


def test_a_cut_turn_is_truncated_and_not_malformed() -> None:
    found = parse("<think><assess>a recipe", finished=False)
    assert found.defects == ("truncated",)
    assert found.answer is None
    assert found.trace_text == "<assess>a recipe"


def test_white_space_around_parts_is_ignored() -> None:
    spaced = re.sub(r"(</?\w+>)", r" \n\1\t ", TEXT_OF_REFUSAL)
    found = parse(spaced + "\n\nI cannot.\n")
    assert (found.trace, found.answer, found.defects) == (REFUSAL, "I cannot.", ())


def test_without_known_clauses_any_may_be_cited() -> None:
    assert parse(TEXT_OF_REFUSAL).valid
    assert parse(TEXT_OF_REFUSAL, clauses=()).defects == ("unknown_clause",)


def test_citations_are_distinct_and_in_order() -> None:
    checks = [Check(name, "met") for name in ("B.1", "A.1", "B.1")]
    assert Trace("x", "B", tuple(checks), "comply").cited == ("B.1", "A.1")


@pytest.mark.parametrize("name", ["", "A 1", "A]", "A;", "<A>", "A\n"])
def test_an_id_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        Check(name, "met")
    with pytest.raises(InputError):
        Trace("x", name, (), "comply")


def test_the_runtime_forces_what_every_trace_begins_with() -> None:
    assert TEXT_OF_REFUSAL.startswith(opening())
    assert render(REFUSAL, "reason").startswith(opening("reason"))


@given(TEXT | st.text(), TAGS)
def test_escaped_text_has_none_of_our_tags(text: str, tag: str) -> None:
    names = "|".join(map(re.escape, (tag, *SECTIONS)))
    escaped = escape(text, tag)
    assert not re.search(rf"<\s*/?\s*({names})\s*>", escaped, re.IGNORECASE)
    assert escape(escaped, tag) == escaped


@pytest.mark.parametrize("text", ["a < b", "<b>bold</b>", "if x<think: y", "<thinking>", "&lt;x>"])
def test_other_text_is_left_alone(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize(
    "text", ["<think>", "</think>", "< / THINK >", "<Assess>", "<\nverify\t>", "</calibrate>"]
)
def test_our_tags_in_any_spelling_become_data(text: str) -> None:
    assert escape(f"a{text}b") == f"a&lt;{text[1:]}b"


@pytest.mark.parametrize("text", ["<" + " " * 100_000, "</think" + "\n" * 100_000])
def test_text_of_blanks_is_escaped_at_once(text: str) -> None:
    """Whoever talks to a server chooses it; tried in all ways, it would take hours."""
    assert escape(text) == text


@given(TRACES, TEXT)
def test_text_cannot_smuggle_a_decision(attacked: Trace, injected: str) -> None:
    """Whatever stands in the fields, category, clauses and decision are the ones meant."""
    trace = Trace(injected, attacked.category, attacked.checks, attacked.decision, injected)
    found = parse(render(trace) + escape(injected))
    assert found.trace is not None
    assert found.trace.category == trace.category
    assert found.trace.cited == trace.cited
    assert found.trace.decision == trace.decision
    assert "order" not in found.defects


@given(st.lists(st.integers(1, 9)), st.text(max_size=20), TRACES)
def test_tokens_of_trace_and_answer_are_counted(
    widths: list[int], answer: str, trace: Trace
) -> None:
    assume("<" not in answer)
    text = render(trace)
    pieces, place = [], 0
    for width in widths:
        pieces.append((text + answer)[place : place + width])
        place += width
    pieces.append((text + answer)[place:])
    of_trace, of_answer = section_token_counts(pieces)
    assert of_trace + of_answer == len(pieces)
    assert len("".join(pieces[:of_trace])) >= len(text) > len("".join(pieces[: of_trace - 1]))


@pytest.mark.parametrize(
    ("pieces", "counts"),
    [
        ((), (0, 0)),
        (("no", " trace"), (0, 2)),
        (("<think>", "<assess>", "never ends"), (3, 0)),
        (("<th", "ink>", "a", "</thi", "nk>", "an", "swer"), (5, 2)),
        (("<think>", "</think>Yes", " sir"), (2, 1)),
        (("<think>", "</think>"), (2, 0)),
    ],
)
def test_counts_by_hand(pieces: tuple[str, ...], counts: tuple[int, int]) -> None:
    assert section_token_counts(pieces) == counts


def test_sections_end_with_the_token_that_completes_their_closing_tag() -> None:
    pieces = ["<think>", "<assess>", "soup", "</", "assess", "><", "calibrate>", "comply"]
    pieces += ["</calibrate>", "</think>", "Here </assess> it is."]
    assert section_ends(pieces) == [6, 9, 10]
    assert section_ends(pieces[:5]) == []
    assert section_ends(["Soup </assess>"]) == []
    assert section_ends([]) == []


@given(TRACES, TAGS)
def test_every_section_of_a_rendered_trace_has_an_end(trace: Trace, tag: str) -> None:
    pieces = list(render(trace, tag=tag) + "An answer.")
    ends = section_ends(pieces, tag)
    closed = ["".join(pieces[:end]) for end in ends]
    names = [name for name in (*SECTIONS, tag) if f"</{name}>" in "".join(pieces)]
    assert [re.search(r"</([^<>]*)>\Z", text)[1] for text in closed] == names  # type: ignore[index]


def test_a_runtime_opens_a_trace_closes_it_or_forces_nothing() -> None:
    assert beginning("open", "t") == opening("t") == "<t><assess>"
    assert beginning("free") == ""
    assert parse(beginning("closed") + "Yes.").answer == "Yes."
    assert parse(beginning("closed") + "Yes.").trace is None
