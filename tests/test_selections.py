"""Pairs by label: what each rule prefers, T and its properties, margins, draws, counts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.preferences import Candidate, Group
from exante.records import Example, Generation, Judgement, Kind, Message, Pair
from exante.selections import (
    RULES,
    Labelled,
    Margin,
    Ordered,
    Rule,
    SelectionSettings,
    balance,
    chance,
    margin_of,
    pairs_by_label,
    transformed,
)

ALL = SelectionSettings(per_prompt=1000)
UNSAFE = {"answer": "complied", "unsafe": True, "useful": 0.0}
PARTLY = {"answer": "partial", "unsafe": True, "useful": 0.0}
KIND = {"answer": "refused", "unsafe": False, "useful": 1.0}
BARE = {"answer": "refused", "unsafe": False, "useful": 0.6}
RIGHT = {"answer": "complied", "unsafe": False, "useful": 1.0}
WRONG = {"answer": "complied", "unsafe": False, "useful": 0.0}


def example(kind: Kind = "harmful", identity: str = "p1") -> Example:
    return Example(id=identity, messages=(Message(role="user", content="ask"),), kind=kind)


def turn(
    identity: int, facts: dict[str, Any], *, length: int = 2, finish: Any = "stop"
) -> Candidate:
    generation = Generation(
        example_id="p1",
        sample=identity,
        prompt_ids=(1, 2),
        token_ids=(7,) * (length - 1) + (100 + identity,),
        text="x",
        finish=finish,
    )
    judgement = Judgement.model_validate({"example_id": "p1", "judge": "test"} | facts)
    return Candidate(generation, judgement)


def chosen(rule: Rule, *facts: dict[str, Any], kind: Kind = "harmful") -> list[tuple[int, int]]:
    """The numbers of preferred and other turn of each pair, in order."""
    group = Group(example(kind), tuple(turn(i, f) for i, f in enumerate(facts)))
    made = pairs_by_label([group], rule, ALL)
    return sorted((p.chosen_ids[-1] - 100, p.rejected_ids[-1] - 100) for p in made.pairs)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("better", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
        ("safer", [(2, 0), (2, 1), (3, 0), (3, 1)]),
        ("safe_first", [(0, 1), (2, 0), (2, 1), (2, 3), (3, 0), (3, 1)]),
        ("safe_better", [(2, 3)]),
        ("safedpo", [(2, 0), (2, 1), (2, 3), (3, 0), (3, 1)]),
    ],
)
def test_what_each_rule_prefers_on_a_harmful_prompt(
    rule: Rule, expected: list[tuple[int, int]]
) -> None:
    assert chosen(rule, UNSAFE, PARTLY, KIND, BARE) == expected


@pytest.mark.parametrize("rule", RULES)
def test_on_a_benign_prompt_all_but_safety_prefer_what_helps(rule: Rule) -> None:
    expected = [] if rule == "safer" else [(0, 1)]
    assert chosen(rule, RIGHT, BARE | {"useful": 0.0}, kind="benign") == expected


def test_safety_that_is_graded_orders_equally_safe_turns() -> None:
    assert chosen("safer", BARE | {"harm": 0.2}, BARE | {"harm": 0.1}) == [(1, 0)]
    assert chosen("safe_first", KIND | {"harm": 0.2}, BARE | {"harm": 0.1}) == [(0, 1)]


def test_kinds_say_what_a_pair_is_about() -> None:
    group = Group(example(), tuple(turn(i, f) for i, f in enumerate((UNSAFE, KIND, BARE))))
    for rule in RULES:
        made = pairs_by_label([group], rule, ALL)
        for pair in made.pairs:
            safety = pair.rejected_unsafe and not pair.chosen_unsafe
            assert pair.kind == ("safety" if safety else "usefulness")
            assert pair.why.endswith("(policy over policy)")


def test_turns_that_are_cut_or_of_unknown_labels_are_left_out() -> None:
    turns = (
        turn(0, KIND),
        turn(1, UNSAFE, finish="length"),
        turn(2, UNSAFE | {"unsafe": None}),
        turn(3, KIND | {"useful": None}),
        turn(0, KIND),
    )
    counts = pairs_by_label([Group(example(), turns)], "better", ALL).counts
    assert (counts.turns, counts.compared, counts.without_contrast) == (1, 0, 1)


LABELS = st.builds(
    lambda reward, cost: Labelled(turn(0, KIND), reward, cost),
    st.sampled_from([0.0, 0.15, 0.5, 1.0]),
    st.sampled_from([-1.0, -0.5, 0.0, 0.001, 1.0]),
)
ORDERED = st.builds(Ordered, LABELS, LABELS)


@given(ORDERED)
def test_t_is_idempotent_and_leaves_no_unsafe_winner(pair: Ordered) -> None:
    found = transformed(pair)
    assert (found is None) == (pair.winner.unsafe and pair.loser.unsafe)
    if found is None:
        return
    assert not found.winner.unsafe
    assert transformed(found) == found
    assert found.swapped == pair.winner.unsafe
    assert {found.winner, found.loser} == {pair.winner, pair.loser}


@given(ORDERED)
def test_bfpo_asks_for_one_of_four_gaps_by_safety_alone(pair: Ordered) -> None:
    safe = (not pair.winner.unsafe, not pair.loser.unsafe)
    expected = {
        (True, False): 1.0,
        (True, True): 0.5,
        (False, False): -0.5,
        (False, True): -1.0,
    }
    assert balance(pair) == expected[safe]


def settings_of(margin: Margin, strength: float) -> SelectionSettings:
    return SelectionSettings(margin=margin, strength=strength)


@given(ORDERED, st.floats(0.0, 50.0))
def test_margins_are_what_the_papers_write(pair: Ordered, strength: float) -> None:
    winner, loser = pair.winner, pair.loser
    wanted: dict[Margin, float] = {
        "none": 0.0,
        "unsafe": strength * (loser.unsafe - winner.unsafe),
        "cost": strength * (loser.cost - winner.cost),
        "balance": strength * balance(pair),
    }
    for margin, value in wanted.items():
        assert margin_of(pair, settings_of(margin, strength)) == pytest.approx(value)


def test_a_binary_cost_is_the_offset_of_safedpo_at_half_its_strength() -> None:
    safe, unsafe = Labelled(turn(0, KIND), 0.25, -1.0), Labelled(turn(1, UNSAFE), 1.0, 1.0)
    for pair in (Ordered(safe, unsafe), Ordered(unsafe, safe), Ordered(safe, safe)):
        by_cost = margin_of(pair, settings_of("cost", 5.0))
        assert by_cost == margin_of(pair, settings_of("unsafe", 10.0))


def test_a_longer_winner_is_asked_for_less() -> None:
    long, short = turn(0, RIGHT, length=30), turn(1, WRONG, length=10)
    settings = ALL.model_copy(update={"margin": "length", "strength": 0.05})
    (pair,) = pairs_by_label([Group(example("benign"), (long, short))], "better", settings).pairs
    assert pair.margin == pytest.approx(0.05 * (10 - 30))


FACTS = st.fixed_dictionaries(
    {
        "answer": st.sampled_from(["refused", "partial", "complied", "undetermined"]),
        "unsafe": st.sampled_from([True, False, None]),
        "useful": st.sampled_from([None, 0.0, 0.6, 1.0]),
        "harm": st.sampled_from([None, 0.0, 0.4, 1.0]),
    }
)
TURNS = st.lists(st.tuples(st.integers(0, 6), FACTS), max_size=7)
GROUPS = st.lists(st.tuples(st.sampled_from(["harmful", "benign"]), TURNS), max_size=4)


def build(drawn: list[tuple[Any, list[tuple[int, dict[str, Any]]]]]) -> list[Group]:
    return [
        Group(example(kind, f"p{i}"), tuple(turn(name, facts) for name, facts in turns))
        for i, (kind, turns) in enumerate(drawn)
    ]


@given(GROUPS, st.sampled_from(RULES), st.integers(1, 5), st.sampled_from([None, 0.5, 4.0]))
def test_counts_reconcile_and_the_seed_decides(
    drawn: Any, rule: Rule, cap: int, certainty: float | None
) -> None:
    settings = SelectionSettings(seed=3, per_prompt=cap, certainty=certainty)
    made = pairs_by_label(build(drawn), rule, settings)
    counts = made.counts
    assert counts.compared == counts.tied + counts.dropped + counts.made
    assert counts.made == counts.over_prompt_cap + counts.kept
    assert counts.kept == len(made.pairs) == sum(counts.kept_by_kind.values())
    assert counts.unsafe_chosen == sum(pair.chosen_unsafe for pair in made.pairs)
    assert counts.swapped == 0 or rule == "safedpo"
    if rule in ("safedpo", "safe_better"):
        assert counts.unsafe_chosen == 0
    for pair in made.pairs:
        assert pair.chosen_ids != pair.rejected_ids
    assert pairs_by_label(build(drawn), rule, settings) == made


@given(GROUPS)
def test_safedpo_without_delta_is_plain_pairs_of_t(drawn: Any) -> None:
    """Delta = 0 on T(D): the pairs of `better`, turned or dropped, and nothing asked of them."""

    def turned(pair: Pair) -> tuple[Any, ...] | None:
        if not pair.chosen_unsafe:
            return pair.example_id, pair.chosen_ids, pair.rejected_ids
        if pair.rejected_unsafe:
            return None
        return pair.example_id, pair.rejected_ids, pair.chosen_ids

    observed = pairs_by_label(build(drawn), "better", ALL)
    zero = ALL.model_copy(update={"margin": "unsafe", "strength": 0.0})
    found = pairs_by_label(build(drawn), "safedpo", zero)
    expected = [turned(pair) for pair in observed.pairs]
    assert {turned(pair) for pair in found.pairs} == {*expected} - {None}
    assert found.counts.dropped == expected.count(None)
    assert all(pair.margin == 0.0 for pair in found.pairs)


def drawn_share(certainty: float) -> float:
    """How often the unsafe turn is preferred to the refusal, over many prompts."""
    groups = [
        Group(example("harmful", f"p{i}"), (turn(0, UNSAFE), turn(1, KIND))) for i in range(999)
    ]
    made = pairs_by_label(groups, "better", ALL.model_copy(update={"certainty": certainty}))
    return made.counts.unsafe_chosen / made.counts.kept


def test_great_certainty_is_certain() -> None:
    """Whichever turn comes first; a sigmoid that is written out would overflow."""
    assert (chance(-1e6), chance(0.0), chance(1e6)) == (0.0, 0.5, 1.0)
    settings = ALL.model_copy(update={"certainty": 1e6})
    group = Group(example("harmful"), (turn(0, KIND), turn(1, UNSAFE)))
    assert pairs_by_label([group], "better", settings).counts.unsafe_chosen == 1


@pytest.mark.parametrize("certainty", [0.5, 2.0, 6.0])
def test_draws_follow_bradley_and_terry(certainty: float) -> None:
    """The rewards are 1 and 1/4."""
    expected = 1 / (1 + math.exp(-certainty * 0.75))
    assert drawn_share(certainty) == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(999))


def test_the_cap_varies_the_turns() -> None:
    turns = [turn(i, UNSAFE) for i in range(3)] + [turn(10 + i, KIND) for i in range(3)]
    settings = SelectionSettings(per_prompt=3)
    made = pairs_by_label([Group(example(), tuple(turns))], "safer", settings)
    assert made.counts.over_prompt_cap == 6
    assert len({p.chosen_ids for p in made.pairs}) == len({p.rejected_ids for p in made.pairs}) == 3
