"""The corpus itself: large enough, without doubles, and made of inputs that are sound before."""

from __future__ import annotations

from collections import Counter

from tests.malformed.corpus import base_of, cases, tables

from exante import documents, rules
from exante.recipes.plan import build
from exante.stages.mix import Mix

LEAST = 300


def test_there_are_hundreds_of_cases_and_no_two_are_the_same() -> None:
    found = [case for table in tables() for case in cases(table)]
    assert len(found) >= LEAST
    counts = Counter(
        repr((case.content, {k: v for k, v in case.fields.items() if k not in ("text", "swap")}))
        for case in found
    )
    assert [one for one, count in counts.items() if count > 1] == []


def test_every_case_says_what_its_message_names() -> None:
    for table in tables():
        for case in cases(table):
            assert case.says or "gives" in case.fields, case.label


def test_what_cases_are_made_from_is_sound() -> None:
    rules.parse(base_of("rules").decode(), where="base")
    documents.parse(base_of("mixes").decode(), Mix, where="base", fix="mend it")
    build(documents.values(base_of("recipes").decode(), where="base"), "base")
