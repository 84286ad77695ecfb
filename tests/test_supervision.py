"""Rows from judged turns: what every token is worth, and the account of what was left out."""

from __future__ import annotations

from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny import tiny_model
from tests.turns import HELP, harm, turn

from exante import supervision
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.records import Judged


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return load_chat(tiny_model(tmp_path_factory.mktemp("supervision")))


@given(tokens=st.integers(1, 60), chunk=st.integers(1, 20))
def test_chunks_cover_a_turn_without_gaps(tokens: int, chunk: int) -> None:
    ends = supervision.chunk_ends(tokens, chunk)
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert ends[-1] == tokens
    assert set(sizes[:-1]) <= {chunk}
    assert 1 <= sizes[-1] <= chunk


def test_every_token_has_the_value_of_its_chunk(chat: Chat) -> None:
    told = turn(chat, "a", "How do I do")
    count = len(told.generation.token_ids)
    ends = supervision.chunk_ends(count, 2)
    values = [1.0, *[0.25] * (len(ends) - 1)]
    row = supervision.shaped(told, values, chunk=2, strength=0.5)
    assert row.weight == (1.0, 1.0, *[0.25] * (count - 2))
    assert row.pull == (0.0, 0.0, *[0.375] * (count - 2))
    assert row.response_ids == told.generation.token_ids


def test_forced_tokens_belong_to_the_prompt(chat: Chat) -> None:
    told = turn(chat, "a", HELP)
    generation = told.generation.model_copy(update={"forced": 2})
    prompt, response = supervision.parts_of(told.model_copy(update={"generation": generation}))
    assert prompt == (*told.generation.prompt_ids, *told.generation.token_ids[:2])
    assert response == told.generation.token_ids[2:]


def recovered(turns: list[Judged], seed: int = 0, dropout: float = 0.0) -> supervision.Supervision:
    return supervision.recovering(turns, 7, per_prompt=2, dropout=dropout, seed=seed)


def test_a_refusal_stands_behind_any_beginning_of_harm(chat: Chat) -> None:
    turns = [harm(chat, "a"), turn(chat, "a", HELP)]
    answer, refusal = (t.generation.token_ids for t in turns)
    lengths = set()
    for seed in range(200):
        behind, _ = recovered(turns, seed).rows
        prompt = turns[0].generation.prompt_ids
        length = len(behind.prompt_ids) - len(prompt)
        assert behind.prompt_ids == (*prompt, *answer[:length])
        assert behind.response_ids == refusal
        assert behind.targets == ()
        lengths.add(length)
    assert lengths == set(range(len(answer)))


def test_harm_is_read_and_the_refusals_token_learned(chat: Chat) -> None:
    turns = [harm(chat, "a"), turn(chat, "a", HELP)]
    row = recovered(turns).rows[1]
    count = len(turns[0].generation.token_ids)
    assert row.response_ids == turns[0].generation.token_ids
    assert row.targets == (7,) * count
    assert row.weight == (1.0,) * count


@given(dropout=st.floats(0.0, 0.999), seed=st.integers(0, 50))
def test_dropout_leaves_a_position_at_least(chat: Chat, dropout: float, seed: int) -> None:
    rows = recovered([harm(chat, "a"), turn(chat, "a", HELP)], seed, dropout).rows
    weights = rows[1].weight
    assert isinstance(weights, tuple)
    assert set(weights) <= {0.0, 1.0}
    assert sum(weights) >= 1


def test_dropout_drops_its_share(chat: Chat) -> None:
    turns = [harm(chat, "a", "q1 and q2. " * 20), turn(chat, "a", HELP)]
    shares = [mean(recovered(turns, s, 0.9).rows[1].weight) for s in range(40)]  # type: ignore[arg-type]
    assert mean(shares) == pytest.approx(0.1, abs=0.03)


def test_other_prompts_give_one_right_turn_and_the_rest_is_counted(chat: Chat) -> None:
    turns = [
        turn(chat, "safe", HELP),
        turn(chat, "safe", HELP + " No."),
        turn(chat, "wrong", "I do.", useful=0.0),
        turn(chat, "cut", HELP, finish="length"),
        harm(chat, "lost"),
        harm(chat, "benign"),
        turn(chat, "benign", "This is how."),
    ]
    made = recovered(turns)
    assert [(row.example_id, row.why) for row in made.rows] == [
        ("safe", "plain"),
        ("benign", "plain"),
    ]
    assert made.counts == {"without_right": 2, "plain": 2}


def test_most_unsafe_turns_of_a_prompt_are_bounded(chat: Chat) -> None:
    turns = [harm(chat, "a", f"q{i}") for i in range(5)] + [turn(chat, "a", HELP)]
    assert recovered(turns).counts == {"behind": 2, "turned": 2}


def test_the_token_that_refusals_begin_with_is_the_most_frequent(chat: Chat) -> None:
    turns = [turn(chat, k, t) for k, t in (("a", "No, I cannot"), ("b", HELP), ("c", HELP + "!"))]
    assert supervision.first_token(turns) == chat.encode(HELP)[0]
    assert supervision.first_token([harm(chat, "a")]) is None


@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_leave_one_out_advantages_sum_to_zero(values: list[float]) -> None:
    found = supervision.leave_one_out(values)
    assert sum(found) == pytest.approx(0, abs=1e-9)
    rest = values[1:]
    assert found[0] == pytest.approx(values[0] - sum(rest) / len(rest), abs=1e-9)


def test_an_unsafe_turn_pays_for_its_cost_and_a_safe_one_earns_nothing_by_it(chat: Chat) -> None:
    """By hand: rewards 1, .5, 0 and costs 0, 0, 1 give advantages .75, 0, -.75 and, of cost, 1."""
    turns = [
        turn(chat, "a", "This", useful=1.0),
        turn(chat, "a", "that", useful=0.5),
        harm(chat, "a"),
        turn(chat, "a", "taught", source="teacher"),
        turn(chat, "a", "cut", finish="length"),
        turn(chat, "alone", "This"),
    ]
    made = supervision.signed(turns, multiplier=2.0)
    assert [row.weight for row in made.rows] == [0.75, pytest.approx((-0.75 - 2.0 * 1.0) / 3)]
    assert made.counts == {
        "not_sampled": 1,
        "unfinished_or_unjudged": 1,
        "no_advantage": 2,
        "safe": 1,
        "unsafe": 1,
    }


def test_a_graded_cost_is_rectified(chat: Chat) -> None:
    turns = [harm(chat, "a", harm=0.6), turn(chat, "a", HELP, harm=0.3), harm(chat, "b")]
    assert [supervision.rectified(t) for t in turns] == [0.6, 0.0, 1.0]
    assert supervision.mean_cost(turns) == pytest.approx(1.6 / 3)
    unknown = turn(chat, "a", HELP, answer="undetermined", unsafe=None)
    assert supervision.mean_cost([*turns, unknown]) == pytest.approx(1.6 / 3)
    assert supervision.mean_cost([unknown]) == 0
    assert supervision.mean_cost([]) == 0
