"""The layout of groups in rows, token by token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.models.packed import NOBODY, Group, grouped, pack, visible, within_budget


def test_one_group_token_by_token() -> None:
    packed = pack([Group((5, 6), ((7, 8, 1), (9, 1)))], pad_id=0, multiple=8)
    assert packed.ids.tolist() == [[5, 6, 7, 8, 9, 0, 0, 0]]
    assert packed.positions.tolist()[0][:5] == [0, 1, 2, 3, 2]
    assert packed.response.tolist()[0][:5] == [0, 0, 1, 1, 2]
    assert packed.group.tolist() == [[0] * 5 + [NOBODY] * 3]
    assert packed.targets.tolist() == [7, 8, 1, 9, 1]
    assert packed.sources.tolist() == [1, 2, 3, 1, 4]
    assert packed.owners.tolist() == [0, 0, 0, 1, 1]


def test_other_targets_are_scored_against_states_that_read_the_response() -> None:
    group = Group((5, 6), ((7, 8, 1), (9, 1)), ((4, 4, 4), (3, 2)))
    for shared in (True, False):
        plain = pack([Group(group.prompt, group.responses)], 0, shared=shared, multiple=8)
        packed = pack([group], pad_id=0, shared=shared, multiple=8)
        assert packed.targets.tolist() == [4, 4, 4, 3, 2]
        for name in ("ids", "positions", "sources", "owners"):
            assert getattr(packed, name).tolist() == getattr(plain, name).tolist()


@pytest.mark.parametrize("targets", [((4,), (3, 2)), ((4, 4, 4),)])
def test_targets_that_stand_for_no_token_are_refused(targets: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="one target per token"):
        Group((5, 6), ((7, 8, 1), (9, 1)), targets)


def test_a_response_sees_its_prompt_and_itself() -> None:
    packed = pack([Group((5, 6), ((7, 8, 1), (9, 1)))], pad_id=0, multiple=1)
    seen = visible(packed.positions, packed.group, packed.response)[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_a_window_counts_positions_and_not_places() -> None:
    packed = pack([Group((5, 6), ((7, 8, 1), (9, 1)))], pad_id=0, multiple=1)
    seen = visible(packed.positions, packed.group, packed.response, window=2)[0, 0].int().tolist()
    assert seen[4] == [0, 1, 0, 0, 1]


def test_short_groups_share_a_row_and_never_see_each_other() -> None:
    groups = [Group((5,), ((6, 1),)), Group((7,) * 6, ((8, 1),)), Group((9,), ((4, 1),))]
    packed = pack(groups, pad_id=0, multiple=1)
    assert packed.ids.shape == (2, 7)
    assert packed.group.tolist() == [[1] * 7, [0, 0, 2, 2, NOBODY, NOBODY, NOBODY]]
    seen = visible(packed.positions, packed.group, packed.response)[1, 0]
    assert not seen[2:4, :2].any()
    assert not seen[:2, 2:].any()


lengths = st.lists(
    st.tuples(st.integers(1, 30), st.lists(st.integers(1, 30), min_size=1, max_size=4)),
    min_size=1,
    max_size=12,
)


@given(lengths=lengths, shared=st.booleans(), multiple=st.integers(1, 16))
def test_every_token_is_predicted_once_by_the_one_before_it(
    lengths: list[tuple[int, list[int]]], shared: bool, multiple: int
) -> None:
    fresh = iter(range(1, 10**6))

    def some(count: int) -> tuple[int, ...]:
        return tuple(next(fresh) for _ in range(count))

    groups = [Group(some(p), tuple(map(some, rs))) for p, rs in lengths]
    packed = pack(groups, pad_id=0, shared=shared, multiple=multiple)
    states = packed.ids.flatten()[packed.sources].tolist()
    expected = [
        (group.prompt[-1] if place == 0 else response[place - 1], token)
        for group in groups
        for response in group.responses
        for place, token in enumerate(response)
    ]
    assert list(zip(states, packed.targets.tolist(), strict=True)) == expected
    if shared:
        assert int((packed.group != NOBODY).sum()) == sum(group.tokens for group in groups)
    seen = visible(packed.positions, packed.group, packed.response)
    assert bool(seen.diagonal(dim1=-2, dim2=-1).all())


def test_equal_prompts_and_responses_are_run_once() -> None:
    rows = [((1,), (2,)), ((3,), (4,)), ((1,), (5,)), ((1,), (2,))]
    assert grouped(rows) == [Group((1,), ((2,), (5,))), Group((3,), ((4,),))]


@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=40), budget=st.integers(20, 300))
def test_batches_keep_the_order_and_the_budget(counts: list[int], budget: int) -> None:
    groups = [Group((1,) * count, ((2,),)) for count in counts]
    batches = list(within_budget(groups, budget))
    assert [group for batch in batches for group in batch] == groups
    for batch in batches:
        padded = len(batch) * max(group.tokens for group in batch)
        assert padded <= budget or len(batch) == 1
