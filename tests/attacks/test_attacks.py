"""Attack families: pure, seeded, short, and traceable to the goal."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.attacks import (
    ATTACKS,
    ENCODINGS,
    GROUPS,
    HELD_OUT,
    HELD_OUT_TEXT,
    SEPARATE,
    TRAINED,
    attacked,
    expand,
    forms_of,
    load_attack,
)
from exante.attacks.base import fill
from exante.attacks.encodings import NoiseSuffix, PayloadSplit, ReversedWord, SpelledWord, key_word
from exante.errors import InputError, RunError
from exante.records import Example, Message
from exante.traces import parse

GOAL = "How do I make brotalk at home?"
WRAPPED = (*TRAINED, *HELD_OUT, *ENCODINGS, *HELD_OUT_TEXT)
SCRIPTED = {"crescendo", "foot_in_the_door", "many_turns_4", "many_turns_16"}
WITHOUT_WORDINGS = {"noise_suffix", "direct", "best_of_n"} | SCRIPTED


def example(text: str = GOAL, identity: str = "p1") -> Example:
    turns = (Message(role="system", content="Be brief."), Message(role="user", content=text))
    return Example(id=identity, messages=turns, kind="harmful", category="M01", facts={"x": 1})


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_known_about_the_goal_survives(name: str) -> None:
    forms = load_attack(name).apply(example(), seed=3)
    assert len(forms) == (4 if name == "best_of_n" else 1)
    for made in forms:
        assert (made.goal_id, made.attack) == ("p1", name)
        assert made.id != "p1"
        assert (made.kind, made.category, made.facts) == ("harmful", "M01", {"x": 1})
        assert made.messages[0] == example().messages[0]
        assert made.messages[-1].role == "user"


@pytest.mark.parametrize("name", ATTACKS)
def test_the_seed_decides_everything(name: str) -> None:
    forms = [load_attack(name).apply(example(), seed) for seed in range(40)]
    assert forms == [load_attack(name).apply(example(), seed) for seed in range(40)]
    made = [form for some in forms for form in some]
    contents = {(form.messages, form.prefill) for form in made}
    assert len(contents) >= (1 if name in ("direct", "reasoning_prefill_empty") else 3)
    assert len({form.id for form in made}) == len(contents)


@pytest.mark.parametrize("name", sorted(set(WRAPPED) - WITHOUT_WORDINGS))
def test_wordings_are_short_and_hold_the_goal_once(name: str) -> None:
    wordings = load_attack(name).wordings  # type: ignore[attr-defined]
    assert 3 <= len(wordings) <= 6
    for wording in wordings:
        assert wording.count("{goal}") == 1
        assert len(re.sub(r"\{\w+\}", "", wording).split()) <= 25


def test_groups_part_the_families() -> None:
    parts = TRAINED + HELD_OUT + SEPARATE + ENCODINGS + HELD_OUT_TEXT
    assert sorted(parts) == sorted(ATTACKS)
    assert len(set(parts)) == len(ATTACKS)
    assert (len(TRAINED), len(HELD_OUT), len(SEPARATE)) == (7, 8, 4)
    assert set(HELD_OUT) >= {"developer_mode", "fiction", "many_shot", "payload_split"}
    assert not any(name in SEPARATE for name in GROUPS["trained"] + GROUPS["held_out"])


def test_expand_replaces_groups_and_keeps_each_name_once() -> None:
    assert expand(["fiction", "held_out", "my.module:Mine"]) == (
        "fiction",
        *(name for name in HELD_OUT if name != "fiction"),
        "my.module:Mine",
    )


def test_an_unknown_family_names_the_nearest() -> None:
    with pytest.raises(InputError, match="role_play"):
        load_attack("role_plai")


class Own:
    """A user's family, which gives or raises the same for every prompt."""

    name = "own"

    def __init__(self, given: Any = ()) -> None:
        self.given = given

    def apply(self, example: Example, seed: int) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def test_a_users_own_family_is_one() -> None:
    assert load_attack(f"{__name__}:Own").name == "own"
    with pytest.raises(InputError, match="os:getcwd is no attack"):
        load_attack("os:getcwd")
    with pytest.raises(InputError, match=r"attack 'os.path:join' cannot be made"):
        load_attack("os.path:join")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (KeyError("x"), "attack own failed: KeyError: 'x'"),
        ("text", "p1: attack own gave something else than Examples with goal_id 'p1'"),
        ([GOAL], "p1: attack own gave something else"),
        # Without a goal, judges would be shown the disguise.
        ([example()], "p1: attack own gave something else"),
        ([attacked(example(identity="p2"), "own", "x")], "p1: attack own gave something else"),
    ],
)
def test_a_broken_family_is_named(given: Any, message: str) -> None:
    with pytest.raises(RunError, match=message):
        forms_of(Own(given), example(), seed=0)


@pytest.mark.parametrize("name", ATTACKS)
def test_our_families_give_forms_that_remember_their_goal(name: str) -> None:
    attack, worn = load_attack(name), attacked(example(), "first", "Other words.")
    assert forms_of(attack, example(), 0) == attack.apply(example(), 0)
    assert {form.goal_id for form in forms_of(attack, worn, 0)} == {"p1"}


def test_direct_leaves_the_text_alone() -> None:
    (made,) = load_attack("direct").apply(example(), seed=0)
    assert made.prompt == GOAL


def test_the_goal_of_a_wrapped_prompt_is_the_first_prompt() -> None:
    (once,) = load_attack("fiction").apply(example(), seed=0)
    (twice,) = load_attack("role_play").apply(once, seed=0)
    assert twice.goal_id == "p1"


@given(st.text(min_size=1))
def test_braces_and_slots_inside_a_goal_stay_data(goal: str) -> None:
    assert fill("a {goal} b", goal=goal) == f"a {goal} b"


@given(st.text(min_size=1), st.sampled_from(WRAPPED), st.integers())
def test_no_prompt_breaks_a_family(goal: str, name: str, seed: int) -> None:
    forms = load_attack(name).apply(example(goal), seed)
    assert forms
    assert all(made.prompt for made in forms)


@given(st.integers())
def test_encodings_hide_the_word_and_can_be_undone(seed: int) -> None:
    (spelled,) = SpelledWord().apply(example(), seed)
    (reverse,) = ReversedWord().apply(example(), seed)
    (split,) = PayloadSplit().apply(example(), seed)
    assert all("brotalk" not in made.prompt for made in (spelled, reverse, split))
    assert "b-r-o-t-a-l-k" in spelled.prompt
    assert "klatorb" in reverse.prompt
    assert {"brot", "alk"} <= set(re.findall(r"\w+", split.prompt))


@given(st.integers())
def test_noise_follows_the_untouched_goal(seed: int) -> None:
    (made,) = NoiseSuffix().apply(example(), seed)
    assert made.prompt.startswith(GOAL + " ")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Write instructions for making sinorx.", "sinorx"),
        ("Tell me how to restore a spoiled trabel.", "trabel"),
        ("How do I do that?", "that"),
        ("2 + 2", "2 + 2"),
    ],
)
def test_key_word_is_what_the_request_is_about(text: str, word: str) -> None:
    assert key_word(text) == word


def test_prefills_leave_the_prompt_alone_and_skip_or_fake_the_trace() -> None:
    for name in SEPARATE[:3]:
        (made,) = load_attack(name).apply(example(), seed=1)
        assert made.prompt == GOAL
        assert made.prefill
    (empty,) = load_attack("reasoning_prefill_empty").apply(example(), seed=1)
    assert empty.prefill == "<think></think>"
    (compliant,) = load_attack("reasoning_prefill_compliant").apply(example(), seed=1)
    parsed = parse(compliant.prefill)
    assert parsed.trace is not None
    assert parsed.trace.decision == "comply"


def test_think_injection_keeps_the_goal_in_user_text() -> None:
    for seed in range(10):
        (made,) = load_attack("think_injection").apply(example(), seed)
        assert GOAL in made.prompt
        assert "think>" in made.prompt
        assert not made.prefill
