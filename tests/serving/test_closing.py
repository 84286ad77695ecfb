"""A trace that is ended from anywhere parses, and states a decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante import traces
from exante.serving.closing import closings, may_be_short

TRACE = (
    "<assess>asks for harm [M01]</assess><verify>M01.1 violated: harm; M01.a1 not-met</verify>"
    "<calibrate>refuse: name it</calibrate>"
)


@given(st.integers(0, len(TRACE)))
def test_every_cut_of_a_trace_can_be_ended_with_a_decision(size: int) -> None:
    body = TRACE[:size]
    for way in closings(body):
        parsed = traces.parse(f"<think>{body}{way}Answer.")
        assert parsed.answer == "Answer."
        if size >= len("<assess>"):
            assert parsed.trace is not None
            assert set(parsed.defects) <= {"missing_section", "unknown_clause", "decision_conflict"}


def test_the_decision_is_left_to_the_model_until_it_is_taken() -> None:
    ways = closings("<assess>soup")
    assert ways == tuple(
        f"</assess><calibrate>{d}</calibrate></think>" for d in ("comply", "refuse", "redirect")
    )
    assert closings("<assess>soup</ass")[0].startswith("ess><calibrate>")
    assert closings("<assess>a</assess><calibrate>re") == (
        "fuse</calibrate></think>",
        "direct</calibrate></think>",
    )
    assert closings("<assess>a</assess><calibrate>comply: now") == ("</calibrate></think>",)
    assert closings(TRACE) == ("</think>",)
    assert closings("Okay, the user wants") == ("</think>",)


@pytest.mark.parametrize(
    ("body", "short"),
    [
        ("<assess>soup</assess>", True),
        ("<assess>soup</assess><cal", True),
        ("<assess>soup [M01]</assess>", False),
        ("<assess>soup</assess><verify>", False),
        ("<assess>soup", False),
        ("soup", False),
    ],
)
def test_the_short_form_is_for_requests_without_a_risk(body: str, short: bool) -> None:
    assert may_be_short(body) is short
