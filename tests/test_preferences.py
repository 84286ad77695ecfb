"""Preference pairs: strict priority, only right turns chosen, everything counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.preferences import (
    Candidate,
    Group,
    PairSettings,
    Selection,
    choosable,
    from_parting,
    order,
    quality_pairs,
    shorter_pairs,
    step_pairs,
)
from exante.records import Example, Generation, Judgement, Kind, Message, Pair

LOOSE = PairSettings(per_prompt=1000, per_kind=1000, balance_floor=10**6)
RIGHT_REFUSAL = {"answer": "refused", "decision": "refuse"}


def example(kind: Kind = "benign", identity: str = "p1") -> Example:
    return Example(id=identity, messages=(Message(role="user", content="ask"),), kind=kind)


def turn(identity: int, *, finish: str = "stop", source: str = "policy", **facts: Any) -> Candidate:
    """A right benign turn with a valid trace of 20 tokens, unless said otherwise."""
    generation = Generation.model_validate(
        {
            "example_id": "p1",
            "sample": identity,
            "source": source,
            "prompt_ids": (1, 2),
            "token_ids": (7, identity),
            "text": "x",
            "finish": finish,
        }
    )
    opinion = {
        "example_id": "p1",
        "judge": "test",
        "answer": "complied",
        "unsafe": False,
        "useful": 1.0,
        "trace_present": True,
        "trace_valid": True,
        "decision": "comply",
        "agrees": True,
        "citations_right": True,
        "trace_tokens": 20,
    }
    return Candidate(generation, Judgement.model_validate(opinion | facts))


def only(kind: Kind, *candidates: Candidate, settings: PairSettings = LOOSE) -> Selection:
    return quality_pairs([Group(example(kind), candidates)], settings)


def test_safe_over_unsafe_is_a_safety_pair_and_never_the_reverse() -> None:
    good = turn(1, **RIGHT_REFUSAL, useful=0.6)
    bad = turn(2, unsafe=True, useful=0.0)
    (pair,) = only("harmful", bad, good).pairs
    assert (pair.kind, pair.chosen_ids, pair.rejected_ids) == ("safety", (7, 1), (7, 2))
    assert pair.harmful
    assert pair.rejected_unsafe
    assert not pair.chosen_unsafe
    assert "unsafe answer" in pair.why
    assert pair.margin == 0.0


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"trace_harmful": True, **RIGHT_REFUSAL}, "harmful trace"),
        ({"answer": "refused", "decision": "comply", "agrees": False}, "blind trace"),
    ],
)
def test_a_bad_trace_loses_though_its_answer_is_safe(facts: dict[str, Any], why: str) -> None:
    (pair,) = only("harmful", turn(1, **RIGHT_REFUSAL), turn(2, **facts)).pairs
    assert pair.kind == "safety"
    assert why in pair.why
    assert not pair.rejected_unsafe


def test_helping_beats_declining_what_is_allowed() -> None:
    (pair,) = only("borderline", turn(1), turn(2, **RIGHT_REFUSAL, useful=0.0)).pairs
    assert pair.kind == "usefulness"
    assert pair.why.startswith("complied over refused")


def test_a_helpful_refusal_beats_a_bare_one() -> None:
    good, bare = turn(1, **RIGHT_REFUSAL, useful=1.0), turn(2, **RIGHT_REFUSAL, useful=0.6)
    (pair,) = only("harmful", bare, good).pairs
    assert (pair.kind, pair.chosen_ids) == ("usefulness", (7, 1))


def test_shorter_of_equals_needs_the_ratio_the_decision_and_the_citations() -> None:
    long = turn(2, trace_tokens=30)
    (pair,) = only("benign", turn(1), long).pairs
    assert pair.kind == "efficiency"
    assert (pair.chosen_trace_tokens, pair.rejected_trace_tokens) == (20, 30)
    assert not only("benign", turn(1), turn(2, trace_tokens=24)).pairs
    assert not only("benign", turn(1, decision="redirect"), long).pairs
    assert not only("benign", turn(1, citations_right=False), long).pairs
    assert not only("benign", turn(1, useful=0.9), long).pairs


@pytest.mark.parametrize(
    "facts",
    [
        {"finish": "length"},
        {"trace_valid": False},
        {"trace_present": False, "trace_valid": False},
        {"agrees": False},
        {"unsafe": None},
        {"useful": 0.4},
        {"trace_harmful": True},
        {"answer": "partial"},
    ],
)
def test_what_is_not_right_is_never_chosen(facts: dict[str, Any]) -> None:
    worse = turn(2, unsafe=True, useful=0.0)
    made = only("benign", turn(1, **facts), worse)
    assert not made.pairs
    assert made.counts.without_right == 1


def test_complying_with_harm_is_never_chosen_even_if_judged_safe() -> None:
    assert not choosable(example("harmful"), turn(1), LOOSE)
    assert choosable(example("harmful"), turn(1, decision="redirect"), LOOSE)


def test_answers_without_trace_can_be_chosen_where_no_trace_is_wanted() -> None:
    bare = turn(1, trace_present=False, trace_valid=False, decision=None, agrees=None)
    assert not choosable(example(), bare, LOOSE)
    assert choosable(example(), bare, LOOSE.model_copy(update={"require_trace": False}))


def test_an_unfinished_turn_is_rejected_only_on_request() -> None:
    good, cut = turn(1), turn(2, finish="length", unsafe=True)
    assert not only("benign", good, cut).pairs
    allowed = LOOSE.model_copy(update={"unfinished_rejected": True})
    assert len(only("benign", good, cut, settings=allowed).pairs) == 1


def test_what_could_not_be_judged_is_neither_better_nor_worse() -> None:
    made = only("benign", turn(1), turn(2, answer="undetermined", unsafe=None, useful=None))
    assert not made.pairs
    assert made.counts.without_contrast == 1


def test_equal_turns_make_no_pair() -> None:
    assert not only("benign", turn(1), turn(2), turn(1)).pairs


def test_the_same_two_turns_make_one_pair() -> None:
    bad = turn(2, unsafe=True)
    made = only("benign", turn(1), turn(1, source="teacher"), bad)
    assert len(made.pairs) == 1
    assert made.counts.duplicates == 1


def test_caps_keep_the_important_kinds_and_vary_the_turns() -> None:
    good = [turn(i, trace_tokens=10) for i in range(4)]
    bad = [turn(10 + i, unsafe=True) for i in range(4)]
    lazy = [turn(20 + i, **RIGHT_REFUSAL, useful=0.0) for i in range(4)]
    long = [turn(30 + i, trace_tokens=40) for i in range(4)]
    settings = PairSettings(per_prompt=5, per_kind=2)
    made = only("benign", *long, *lazy, *bad, *good, settings=settings)
    assert made.counts.kept_by_kind == {"safety": 2, "usefulness": 2, "efficiency": 1}
    safety = [pair for pair in made.pairs if pair.kind == "safety"]
    assert len({p.chosen_ids for p in safety}) == len({p.rejected_ids for p in safety}) == 2


def test_balance_cuts_the_largest_class_to_a_multiple_of_its_runner_up() -> None:
    harmful = [
        Group(example("harmful", f"h{i}"), (turn(1, **RIGHT_REFUSAL), turn(2, unsafe=True)))
        for i in range(90)
    ]
    benign = [
        Group(example("benign", f"b{i}"), (turn(1), turn(2, **RIGHT_REFUSAL, useful=0.0)))
        for i in range(10)
    ]
    made = quality_pairs(harmful + benign, PairSettings(balance=2.0, balance_floor=0))
    assert made.counts.kept_by_kind == {"safety": 20, "usefulness": 10, "efficiency": 0}
    assert made.counts.kept_harmful == 20
    assert made.counts.over_kind_balance == 70
    floor = quality_pairs(harmful + benign, PairSettings(balance=2.0, balance_floor=60))
    assert floor.counts.kept_harmful == 60
    assert quality_pairs(harmful, PairSettings(balance=1.0, balance_floor=0)).counts.kept == 90


def test_shorter_pairs_ask_for_more_the_more_is_saved() -> None:
    """By hand: right lengths 10, 20, 60, mean 30, so 40 saved tokens are 0.5 * 40 / 30 nats."""
    turns = (turn(1, trace_tokens=10), turn(2), turn(3, trace_tokens=60))
    made = shorter_pairs([Group(example(), turns)], LOOSE, alpha=0.5)
    margins = {(p.chosen_trace_tokens, p.rejected_trace_tokens): p.margin for p in made.pairs}
    expected = {(10, 20): 0.5 / 3, (10, 60): 2.5 / 3, (20, 60): 2.0 / 3}
    assert margins == pytest.approx(expected)


def test_shorter_pairs_never_weigh_length_against_safety() -> None:
    good, bad = turn(1, **RIGHT_REFUSAL, trace_tokens=90), turn(2, unsafe=True, trace_tokens=1)
    (pair,) = shorter_pairs([Group(example("harmful"), (good, bad))], LOOSE, alpha=5.0).pairs
    assert pair.kind == "safety"
    assert pair.margin == 0.0


FACTS = st.fixed_dictionaries(
    {
        "answer": st.sampled_from(["refused", "partial", "complied", "truncated", "undetermined"]),
        "unsafe": st.sampled_from([True, False, False, None]),
        "useful": st.sampled_from([None, 0.0, 0.6, 1.0]),
        "trace_valid": st.booleans(),
        "decision": st.sampled_from(["comply", "refuse", "redirect"]),
        "agrees": st.sampled_from([True, True, False, None]),
        "trace_harmful": st.sampled_from([None, False, True]),
        "trace_tokens": st.sampled_from([0, 10, 20, 40]),
    }
)
TURNS = st.lists(st.tuples(st.integers(0, 5), FACTS), max_size=6)
GROUPS = st.lists(
    st.tuples(st.sampled_from(["harmful", "benign", "borderline"]), TURNS), max_size=5
)


def build(drawn: list[tuple[Any, list[tuple[int, dict[str, Any]]]]]) -> list[Group]:
    return [
        Group(example(kind, f"p{i}"), tuple(turn(name, **facts) for name, facts in turns))
        for i, (kind, turns) in enumerate(drawn)
    ]


@given(GROUPS)
def test_no_pair_prefers_the_worse_in_anything_more_important(drawn: Any) -> None:
    for group in build(drawn):
        for winner in group.candidates:
            for loser in group.candidates:
                verdict = order(group.example, winner, loser, LOOSE)
                if verdict is None:
                    continue
                ours, theirs = winner.judgement, loser.judgement
                assert ours.unsafe is False
                assert ours.right
                assert order(group.example, loser, winner, LOOSE) is None
                if verdict[0] != "safety":
                    assert theirs.unsafe is False
                    assert not theirs.trace_harmful
                    assert (ours.useful or 0.0) >= (theirs.useful or 0.0)
                if verdict[0] == "efficiency":
                    assert ours.useful == theirs.useful
                    assert ours.trace_tokens < theirs.trace_tokens


@given(GROUPS, st.integers(0, 3), st.integers(1, 4))
def test_counts_reconcile_and_the_seed_decides(drawn: Any, seed: int, cap: int) -> None:
    settings = PairSettings(seed=seed, per_prompt=cap, per_kind=2, balance=1.0, balance_floor=0)
    made = quality_pairs(build(drawn), settings)
    counts = made.counts
    dropped = (
        counts.duplicates + counts.over_prompt_cap + counts.over_kind_balance
    ) + counts.over_side_balance
    assert counts.made == counts.kept + dropped
    assert counts.kept == len(made.pairs) == sum(counts.kept_by_kind.values())
    assert counts.kept_harmful == sum(pair.harmful for pair in made.pairs)
    keys = [(pair.example_id, pair.chosen_ids, pair.rejected_ids) for pair in made.pairs]
    assert len(set(keys)) == len(keys)
    assert quality_pairs(build(drawn), settings) == made


def test_in_a_disguise_longer_thought_may_be_left_alone() -> None:
    short, long = turn(1, trace_tokens=8), turn(2, trace_tokens=40)
    hidden = example().model_copy(update={"attack": "spelled_word"})
    settings = LOOSE.model_copy(update={"shorten_disguised": False})
    assert order(hidden, short, long, LOOSE) is not None
    assert order(hidden, short, long, settings) is None
    assert order(example(), short, long, settings) is not None
    wrong = turn(3, useful=0.0)
    assert order(hidden, short, wrong, settings) is not None


END = 9
"""Stands for a closing tag."""


def ends(ids: tuple[int, ...]) -> list[int]:
    return [place + 1 for place, token in enumerate(ids) if token == END]


def parted(chosen: tuple[int, ...], rejected: tuple[int, ...]) -> Pair:
    whole = Pair(
        example_id="p1",
        prompt_ids=(1, 2),
        chosen_ids=chosen,
        rejected_ids=rejected,
        kind="safety",
        why="test",
        chosen_reference=-3.0,
        rejected_reference=-4.0,
        scored_by="weights",
    )
    return from_parting(whole, ends)


def test_what_turns_share_goes_behind_the_prompt_up_to_the_last_whole_section() -> None:
    pair = parted((5, END, 6, END, 7, 3, END, 0), (5, END, 6, END, 7, 4, END, 0))
    assert pair.prompt_ids == (1, 2, 5, END, 6, END)
    assert (pair.chosen_ids, pair.rejected_ids) == ((7, 3, END, 0), (7, 4, END, 0))
    assert pair.level == "step"
    assert pair.chosen_reference is None
    assert pair.rejected_reference is None
    assert pair.scored_by == ""


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ((5, 6, END, 0), (5, 7, END, 0)),  # they part within the first section
        ((5, 6, 0), (5, 7, 0)),  # no section at all
        ((5, END, 6, 0), (5, END)),  # one is a part of the other: nothing would be left of it
    ],
)
def test_turns_that_share_no_section_stay_whole(
    chosen: tuple[int, ...], rejected: tuple[int, ...]
) -> None:
    pair = parted(chosen, rejected)
    assert (pair.prompt_ids, pair.chosen_ids, pair.level) == ((1, 2), chosen, "full")
    assert pair.chosen_reference == -3.0


def test_steps_that_part_late_come_first_and_nothing_else_changes() -> None:
    def said(identity: int, *ids: int, **facts: Any) -> Candidate:
        one = turn(identity, **facts)
        return Candidate(one.generation.model_copy(update={"token_ids": ids}), one.judgement)

    good = [said(1, 5, END, 6, END, 0), said(2, 8, END, 6, END, 0)]
    bad = said(3, 5, END, 7, END, 0, unsafe=True)
    group = Group(example(), (*good, bad))
    one = LOOSE.model_copy(update={"per_kind": 1, "per_prompt": 1})
    for seed in range(8):
        settings = one.model_copy(update={"seed": seed})
        (pair,) = step_pairs([group], settings, ends).pairs
        assert (pair.prompt_ids, pair.chosen_ids) == ((1, 2, 5, END), (6, END, 0))
    whole, steps = quality_pairs([group], LOOSE), step_pairs([group], LOOSE, ends)
    assert steps.counts == whole.counts
    joined = {(*p.prompt_ids, *p.chosen_ids) for p in steps.pairs}
    assert joined == {(*p.prompt_ids, *p.chosen_ids) for p in whole.pairs}
