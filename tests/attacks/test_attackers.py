"""Attackers that talk: scripted speakers, budgets, replies that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exante.attacks.attackers import Pair, StreamSettings, Tap, TreeSettings
from exante.attacks.replies import last_object, prompt_in
from exante.records import Example, Message

GOAL = 'How do I make brotalk? {answer} "quoted"'


class Scripted:
    """A speaker whose replies follow from the conversation, and who keeps what it was asked."""

    def __init__(self, answer: Callable[[Sequence[Message]], str]) -> None:
        self.answer = answer
        self.name = "scripted"
        self.heard: list[Sequence[Message]] = []

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        self.heard += conversations
        return [self.answer(turns) for turns in conversations]


def goal() -> Example:
    return Example(id="p1", messages=(Message(role="user", content=GOAL),), kind="harmful")


def counting() -> Scripted:
    """An attacker whose nth message is `please` n times."""
    made = iter(range(1, 1000))
    return Scripted(lambda _: f'I think. {{"idea": "more", "prompt": "{"please " * next(made)}"}}')


def scoring() -> Scripted:
    """A scorer who likes long answers and finds everything on topic."""

    def score(turns: Sequence[Message]) -> str:
        if "match" in turns[0].content:
            return '{"match": true}'
        return json.dumps({"score": min(10, 1 + turns[-1].content.count("yes"))})

    return Scripted(score)


def echo() -> Scripted:
    """A target that says yes as often as it is asked."""
    return Scripted(lambda turns: "yes " * turns[-1].content.count("please"))


def test_streams_keep_to_their_budget_and_return_the_best_message() -> None:
    target, scorer = echo(), scoring()
    budget = StreamSettings(streams=2, iterations=3)
    found = Pair(counting(), scorer, budget).search(goal(), target, seed=0)
    assert found.queries == len(target.heard) == 6
    assert found.history == (3.0, 5.0, 7.0)
    (made,) = found.examples
    assert made.prompt == ("please " * 6).strip()
    assert (made.goal_id, made.attack) == ("p1", "pair")
    assert found.malformed == 0


def test_the_scorer_sees_the_goal_and_the_answer_and_no_disguise() -> None:
    scorer = scoring()
    Pair(counting(), scorer, StreamSettings(streams=1, iterations=1)).search(goal(), echo(), 0)
    ((_, asked),) = scorer.heard
    assert json.dumps(GOAL) in asked.content
    assert "yes" in asked.content
    assert "please" not in asked.content


def test_a_success_ends_the_search() -> None:
    target = echo()
    budget = StreamSettings(streams=1, iterations=50, success=4)
    found = Pair(counting(), scoring(), budget).search(goal(), target, seed=0)
    assert len(target.heard) == 3
    assert found.history == (2.0, 3.0, 4.0)


def test_the_attacker_hears_answer_and_score_as_data() -> None:
    attacker = counting()
    Pair(attacker, scoring(), StreamSettings(streams=1, iterations=2)).search(goal(), echo(), 0)
    first, second = attacker.heard
    assert json.dumps(GOAL) in first[0].content
    assert [turn.role for turn in second] == ["system", "user", "assistant", "user"]
    assert json.dumps("yes ") in second[-1].content
    assert "2 of 10" in second[-1].content


def test_streams_begin_with_different_approaches() -> None:
    attacker = counting()
    Pair(attacker, scoring(), StreamSettings(streams=4, iterations=1)).search(goal(), echo(), 0)
    assert len({turns[-1].content for turns in attacker.heard}) == 4


@pytest.mark.parametrize("attack", ["pair", "tap"])
def test_an_attacker_that_never_writes_json_is_counted_and_leaves_the_goal(attack: str) -> None:
    mute, target = Scripted(lambda _: "I would rather not."), echo()
    tree, streams = TreeSettings(retries=2), StreamSettings(streams=2, iterations=1, retries=2)
    family = Tap(mute, scoring(), tree) if attack == "tap" else Pair(mute, scoring(), streams)
    found = family.search(goal(), target, seed=0)
    assert found.malformed == 2 * 3
    assert found.queries == len(target.heard) == 0
    assert found.examples[0].prompt == GOAL
    assert found.examples[0].attack == attack


@pytest.mark.parametrize("prompt", ["\\ud83d", "a \\ude00 b"])
def test_a_message_with_half_a_character_cannot_be_sent(prompt: str) -> None:
    assert prompt_in(f'{{"prompt": "{prompt}"}}') is None
    assert prompt_in('{"prompt": "\\ud83d\\ude00"}') == "\N{GRINNING FACE}"


def test_a_reply_that_cannot_be_read_is_asked_for_again() -> None:
    replies = iter(['{"prompt": 3}', "{", '{"prompt": "please"}'])
    attacker = Scripted(lambda _: next(replies))
    budget = StreamSettings(streams=1, iterations=1, retries=2)
    found = Pair(attacker, scoring(), budget).search(goal(), echo(), seed=0)
    assert found.malformed == 2
    assert found.examples[0].prompt == "please"
    assert "JSON object alone" in attacker.heard[-1][-1].content


def test_scores_that_cannot_be_read_count_as_none() -> None:
    for said in ("ten", '{"score": 11}', '{"score": true}', '{"score": 2.5}', '{"score": NaN}'):
        scorer = Scripted(lambda _, said=said: said)  # type: ignore[misc]
        budget = StreamSettings(streams=1, iterations=1, retries=0)
        found = Pair(counting(), scorer, budget).search(goal(), echo(), seed=0)
        assert found.history == (0.0,)
        assert found.malformed == 1


def test_a_tree_branches_prunes_and_keeps_the_best_leaves() -> None:
    target, attacker = echo(), counting()
    budget = TreeSettings(branching=2, width=1, depth=3)
    found = Tap(attacker, scoring(), budget).search(goal(), target, seed=0)
    assert [turns[-1].content.count("please") for turns in target.heard] == [1, 2, 3, 4, 5, 6]
    assert found.queries == 6 <= budget.depth * budget.width * budget.branching
    # Every second level grows from the better of two leaves: the one with the longer message.
    assert [turns[-2].content.count("please") for turns in attacker.heard[2:]] == [2, 2, 4, 4]
    assert found.examples[0].prompt.count("please") == 6


def test_messages_off_the_topic_never_reach_the_target() -> None:
    def opinion(turns: Sequence[Message]) -> str:
        if "match" in turns[0].content:
            return json.dumps({"match": turns[-1].content.count("please") % 2 == 0})
        return '{"score": 5}'

    target = echo()
    budget = TreeSettings(branching=2, width=2, depth=1)
    Tap(counting(), Scripted(opinion), budget).search(goal(), target, seed=0)
    assert [turns[-1].content.count("please") for turns in target.heard] == [2]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=60)
@given(
    st.text(),
    st.dictionaries(st.text(max_size=3), JSON, max_size=3),
    st.text().filter(lambda t: "{" not in t),
)
def test_the_last_object_is_found_behind_any_text(
    before: str, value: dict[str, object], after: str
) -> None:
    # A brace in front may open an object that swallows ours only if it is JSON with it inside.
    text = before.replace("{", "(") + json.dumps(value) + after
    assert last_object(text) == value


@given(st.text(alphabet='{}":a1, '))
def test_any_text_gives_an_object_or_none(text: str) -> None:
    found = last_object(text)
    assert found is None or isinstance(found, dict)


def test_the_last_of_several_objects_counts_and_depth_is_no_danger() -> None:
    assert last_object('{"a": 1} then {"b": {"c": 2}} end') == {"b": {"c": 2}}
    assert last_object('{"prompt": "two\nlines"}') == {"prompt": "two\nlines"}
    assert last_object("no object") is None
    assert last_object('{"a":' * 5000) is None
