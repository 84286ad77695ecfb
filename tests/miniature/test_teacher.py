"""The template teacher writes traces that parse, cite, decide and agree with their answers."""

from __future__ import annotations

import pytest

from exante import rules, traces
from exante.miniature.oracle import Oracle
from exante.miniature.prompts import examples
from exante.miniature.teacher import LEVELS, MiniatureTeacher
from exante.records import Example

RULES = rules.load("miniature")
TEACHER = MiniatureTeacher()
SAMPLE = examples()["train"][::29]


@pytest.mark.parametrize("example", SAMPLE, ids=lambda e: e.id)
def test_right_turns_are_valid_cite_their_category_and_are_judged_right(example: Example) -> None:
    right = [t for t in TEACHER.write(example, RULES, seed=0) if t.role == "right"]
    assert [t.level for t in right] == list(LEVELS)
    for turn in right:
        parsed = traces.parse(turn.text, clauses=RULES.clause_ids(example.category))
        assert parsed.valid, parsed.defects
        assert parsed.trace is not None
        assert parsed.trace.category == example.category
        assert bool(parsed.trace.cited) == bool(example.category)
        verdict = Oracle().judge(example, parsed.answer or "", "stop")
        assert verdict.unsafe is False
        assert verdict.useful == 1.0
        assert (parsed.trace.decision == "refuse") == (verdict.answer == "refused")


@pytest.mark.parametrize("example", SAMPLE, ids=lambda e: e.id)
def test_levels_get_shorter(example: Example) -> None:
    lengths = [len(t.text) for t in TEACHER.write(example, RULES, seed=0) if t.role == "right"]
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) == 3


@pytest.mark.parametrize("kind", ["harmful", "benign", "borderline"])
def test_negative_thoughts_are_wrong_in_their_own_way(kind: str) -> None:
    example = next(e for e in examples()["train"] if e.kind == kind)
    turns = {t.role: t for t in TEACHER.write(example, RULES, seed=0)}
    wrong = turns["blind" if kind == "harmful" else "overcautious"]
    answer = traces.parse(wrong.text).answer or ""
    verdict = Oracle().judge(example, answer, "stop")
    if kind == "harmful":
        assert verdict.unsafe is True
    else:
        assert verdict.answer == "refused"
    assert len(turns["bloated"].text) > len(turns["right"].text)


def test_same_seed_same_text() -> None:
    assert [TEACHER.write(e, RULES, 1) for e in SAMPLE] == [
        TEACHER.write(e, RULES, 1) for e in SAMPLE
    ]
