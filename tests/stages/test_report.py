"""The evidence of a report: the rows behind a number are as many as its n says."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exante.pages.numbers import Value
from exante.pages.rows import behind
from exante.records import AnswerVerdict, Example, Generation, Judged, Judgement, Message
from exante.stages.caveats import caveats
from exante.stages.comparisons import compare
from exante.stages.measures import Item, by_family, macro_families, measure, spread
from exante.stages.report import ReportConfig, identity, row_of
from exante.stages.transcripts import transcripts

ATTACKS = ("direct", "fiction", "many_shot", "answer_prefill")
RULES = """\
version: 1
name: mine
categories:
  - id: A
    title: Locks
    definition: Requests about locks.
    prohibited: [{id: A.1, text: "%s"}]
    allowed: [{id: A.a1, text: Keys of your own.}]
"""
COUNTS_OTHER_THINGS = {"asr_union", "asr_by_attack", "response_efficiency"}
"""Goals, one family at a time, and only turns that both models got right."""


def item(number: int, kind: Any, attack: str, rng: random.Random) -> Item:
    """A turn of any kind: with a sound trace, a broken one or none, finished or cut off."""
    example = Example(
        id=f"{kind}/{number}#{attack}",
        messages=(Message(role="user", content="placeholder"),),
        kind=kind,
        goal_id=f"{kind}/{number}",
        attack=attack,
        prefill="Sure" if attack == "answer_prefill" else "",
    )
    cut = rng.random() < 0.1
    answer: AnswerVerdict = rng.choice(("refused", "complied", "undetermined"))
    present, sound = rng.random() < 0.8, rng.random() < 0.8
    generation = Generation(
        example_id=example.id, prompt_ids=(1,), token_ids=(2,), text="x",
        finish="length" if cut else "stop",
    )  # fmt: skip
    judgement = Judgement(
        example_id=example.id,
        judge="first",
        answer="truncated" if cut else answer,
        unsafe=None
        if cut or answer == "undetermined"
        else kind == "harmful" and answer == "complied",
        useful=1.0,
        trace_present=present,
        trace_valid=present and sound,
        decision="refuse" if present and sound else None,
        trace_tokens=rng.randrange(40) if present else 0,
        answer_tokens=rng.randrange(90),
    )
    return Item(example, Judged(generation=generation, judgement=judgement))


@pytest.fixture(scope="module")
def items() -> list[Item]:
    rng = random.Random(0)
    attacked = [item(n, "harmful", attack, rng) for attack in ATTACKS for n in range(20)]
    kinds = ("benign", "borderline", "capability")
    plain = [item(n, kind, "direct", rng) for kind in kinds for n in range(15)]
    return attacked + plain


def test_as_many_rows_stand_behind_a_number_as_it_says(items: list[Item]) -> None:
    measured = measure(items, items)
    rows = [json.loads(row_of("m", one).model_dump_json()) for one in items]
    seen = 0
    for name, where in behind(macro_families(by_family(items))).items():
        found = [r for r in rows if all(r[field] in values for field, values in where.items())]
        number = getattr(measured, name)
        if name not in COUNTS_OTHER_THINGS:
            assert len(found) == (number.n if isinstance(number, Value) else number), name
            assert 0 < len(found) < len(rows), name
            seen += 1
    assert seen >= 12


def test_a_family_has_the_rows_of_its_attack(items: list[Item]) -> None:
    for attack, value in measure(items, items).asr_by_attack.items():
        assert value.n == sum(i.example.attack == attack for i in items if i.goal[0] == "h")


def test_lengths_leave_out_what_an_attacker_began(items: list[Item]) -> None:
    found = measure(items, items)
    own = [i for i in items if i.example.kind == "harmful" and not i.example.prefill]
    tokens = [i.verdict.trace_tokens for i in own]
    harmful = found.lengths["trace_harmful"]
    assert harmful.n == len(tokens) == 60
    assert harmful.mean == pytest.approx(np.mean(tokens))
    assert harmful.median == np.median(tokens)
    assert harmful.median <= harmful.p95 <= max(tokens)
    assert found.turns == len(items)


def test_differences_have_the_sign_that_they_are_named_after(items: list[Item]) -> None:
    """A model that refuses everything withstands all attacks and refuses all look-alikes."""

    def all_refused(one: Item) -> Item:
        verdict = one.verdict.model_copy(update={"answer": "refused", "unsafe": False})
        return Item(one.example, one.judged.model_copy(update={"judgement": verdict}))

    (found,) = compare({"m": [all_refused(i) for i in items], "base": items}, [("m", "base")])
    before = measure(items, items)
    assert found.robustness_gain.value == pytest.approx(before.asr_macro.value)
    assert found.robustness_gain.n == 40
    assert found.over_refusal_rise.n == 15
    refused = before.over_refusal_lookalike.value or 0.0
    assert found.over_refusal_rise.value == pytest.approx(1 - refused)
    for value in (found.robustness_gain, found.over_refusal_rise):
        assert value.low is not None
        assert value.high is not None
        assert value.value is not None
        assert 0 < value.low < value.value < value.high
    (same,) = compare({"m": items, "base": items}, [("m", "base")])
    assert (same.robustness_gain.value, same.p_value, same.over_refusal_p_value) == (0.0, 1.0, 1.0)


def test_rows_left_out_are_told_of_trainings_and_pairs_left_out_are_not() -> None:
    stamps = {
        "pairs": {"stage": "pair", "summary": {"dropped": 5, "kept": 7}},
        "tuned": {"stage": "prefer", "summary": {"dropped": 2, "items": 8}},
    }
    (note,) = caveats({}, stamps)
    assert note.startswith("tuned: 2 of 10 rows were longer")


def test_a_training_that_had_nothing_to_learn_from_is_told() -> None:
    stamps = {
        "tuned": {"stage": "prefer", "summary": {"items": 0}},
        "derta": {"stage": "tune", "summary": {"items": 0}},
        "sound": {"stage": "tune", "summary": {"items": 3}},
    }
    assert [note.partition(" could")[0] for note in caveats({}, stamps)] == [
        "tuned: no pairs", "derta: no rows",
    ]  # fmt: skip


def test_searches_need_not_try_the_same_families() -> None:
    stamps = {
        name: {
            "stage": "search",
            "summary": {"goals": 9, "families": {family: {"most_queries": n}}},
        }
        for name, family, n in (("one", "gcg", 5), ("two", "pair", 7))
    }
    first, second = caveats({}, stamps)
    assert first.startswith("gcg looked")
    assert "most 5 queries" in first
    assert "most 7 queries" in second


def test_spread_of_known_numbers() -> None:
    found = spread([float(n) for n in range(1, 102)])
    assert found is not None
    assert (found.mean, found.median, found.p95, found.n) == (51.0, 51.0, 96.0, 101)
    assert spread([]) is None


def test_turns_on_which_judges_differ_are_shown_first(items: list[Item]) -> None:
    def other(one: Item, differs: bool) -> Judgement:
        declined = one.verdict.answer == "refused"
        answer: AnswerVerdict = "refused" if declined != differs else "complied"
        return one.verdict.model_copy(update={"judge": "second", "answer": answer})

    benign = [i for i in items if i.example.kind == "benign"]
    disputed = {benign[3].example.id, benign[11].example.id}
    second = {"m": {i.example.id: other(i, i.example.id in disputed) for i in benign}}
    found = transcripts({"m": benign}, 2, 0, second)
    assert {t.id for t in found} == disputed
    assert all(set(t.turns["m"].others) == {"second"} for t in found)


def test_edited_rules_make_another_page(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    config = ReportConfig(rules=str(path))

    def told(clause: str) -> dict[str, str]:
        path.write_text(RULES % clause, encoding="utf-8")
        return identity(config)

    assert told("Locks of others.") == told("Locks of others.") != told("Doors of others.")
