"""Each filter strikes at its own fault, alone, and is counted."""

from __future__ import annotations

from typing import Any

import pytest

from exante.judges.strings import StringJudge
from exante.records import Example, Kind, Message, Traced
from exante.rules import RuleSet, load
from exante.teachers.filters import Filtered, FilterSettings, Views, sift
from exante.traces import Check, Trace, render

REFUSAL = "I cannot help with that."
REFUSING = Trace("asks for a poison", "M01", (Check("M01.1", "violated"),), "refuse")
SHORT = Trace("a plain task", None, (), "comply")
ORDER = [
    "parse",
    "citation",
    "agreement",
    "label",
    "harmful_trace",
    "leakage",
    "length",
    "duplicate",
    "contamination",
]


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load("miniature")


def sifted(rules: RuleSet, *turns: Traced, kind: Kind = "harmful", **more: Any) -> Filtered:
    category = "M01" if kind == "harmful" else None
    turn = Message(role="user", content="How do I make a krobal?")
    known = Example(id="p", messages=(turn,), kind=kind, category=category)
    views = Views(answer=StringJudge().judge, trace_harmful=lambda _, text: "secret" in text)
    settings = more.pop("settings", FilterSettings())
    return sift(turns, {"p": known}, rules, views, settings, **more)


def traced(trace: Trace | str, answer: str = REFUSAL, **labels: Any) -> Traced:
    text = (trace if isinstance(trace, str) else render(trace)) + answer
    return Traced.model_validate({"example_id": "p", "text": text, **labels})


def struck(result: Filtered) -> str:
    (rejected,) = result.rejected
    assert rejected.reason
    assert result.counts == {name: int(name == rejected.filter) for name in ORDER}
    return rejected.filter


def test_good_turns_pass_and_every_filter_reports(rules: RuleSet) -> None:
    result = sifted(rules, traced(REFUSING))
    assert len(result.kept) == 1
    assert list(result.counts) == ORDER
    assert not any(result.counts.values())
    assert sifted(rules, traced(SHORT, "It is tea."), kind="benign").kept
    assert sifted(rules, traced("", level="none")).kept


@pytest.mark.parametrize(
    ("turn", "name"),
    [
        (traced("<think><assess>asks", ""), "parse"),
        (traced("", "No trace where one is due."), "parse"),
        (traced(REFUSING, level="none"), "parse"),
        (traced(Trace("x", "M01", (Check("M01.77", "violated"),), "refuse")), "parse"),
        (traced(Trace("x", "M01", (Check("M02.1", "violated"),), "refuse")), "citation"),
        (traced(Trace("x", "M02", (Check("M02.1", "violated"),), "refuse")), "citation"),
        (traced(REFUSING, "Sure, here it is."), "agreement"),
        (traced(SHORT, "Sure, here it is."), "label"),
        (traced(REFUSING, role="blind"), "label"),
        (traced(REFUSING, role="overcautious"), "label"),
        (traced("", "Sure, here it is.", level="none"), "label"),
        (
            traced(Trace("a secret", "M01", (Check("M01.1", "violated"),), "refuse")),
            "harmful_trace",
        ),
        (traced(REFUSING, "I cannot help, the label says so."), "leakage"),
    ],
)
def test_a_fault_is_named(rules: RuleSet, turn: Traced, name: str) -> None:
    assert struck(sifted(rules, turn)) == name


def test_declining_what_is_fine_is_no_right_turn_but_an_overcautious_one(rules: RuleSet) -> None:
    turn = traced(Trace("x", "M01", (Check("M01.1", "violated"),), "refuse"))
    assert struck(sifted(rules, turn, kind="benign")) == "label"
    negative = turn.model_copy(update={"role": "overcautious"})
    assert sifted(rules, negative, kind="benign").kept


def test_long_sections_are_for_negative_thoughts(rules: RuleSet) -> None:
    long = Trace("word " * 6 + "end", "M01", (Check("M01.1", "violated"),), "refuse")
    tight = FilterSettings(section_words=5)
    assert struck(sifted(rules, traced(long), settings=tight)) == "length"
    assert sifted(rules, traced(long, role="bloated"), settings=tight).kept


def test_phrases_that_give_away_are_found_in_any_case(rules: RuleSet) -> None:
    turn = traced(REFUSING, answer="I cannot help, says the LABEL.")
    settings = FilterSettings(leakage=("The Label",))
    assert struck(sifted(rules, turn, settings=settings)) == "leakage"


def test_the_second_of_two_equal_turns_goes(rules: RuleSet) -> None:
    again = traced(REFUSING, level="brief")
    assert struck(sifted(rules, traced(REFUSING), again)) == "duplicate"
    other = Trace("another view of a poison", "M01", (Check("M01.1", "violated"),), "refuse")
    assert len(sifted(rules, traced(REFUSING), traced(other)).kept) == 2
    assert len(sifted(rules, traced(REFUSING), traced(REFUSING, role="bloated")).kept) == 2


def test_prompts_of_the_evaluation_are_never_trained_on(rules: RuleSet) -> None:
    near = ["How do I make a KROBAL, please?"]
    assert struck(sifted(rules, traced(REFUSING), evaluation=near)) == "contamination"
    far = ["How do I make a trendel?", "Where is Paris?"]
    assert sifted(rules, traced(REFUSING), evaluation=far).kept
