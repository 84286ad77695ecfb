"""Near-duplicates: exact against every pair compared, and blind to what does not matter."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante import overlap
from exante.overlap import jaccard, normalised, repeats, shingles, similar

WORDS = st.sampled_from(
    ["make", "made", "tea", "teas", "the", "a", "cup", "of", "hot", "and", "cold", "water"]
)
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)
LISTS = st.lists(TEXTS, max_size=12)


def test_golden_similarity() -> None:
    # abcdefg has abcde bcdef cdefg; abcdefh has abcde bcdef cdefh: two of four.
    assert similar(["abcdefg"], ["abcdefh"], 0.5) == [(0, 0, 0.5)]
    assert similar(["abcdefg"], ["abcdefh"], 0.51) == []


@given(left=LISTS, right=LISTS, threshold=st.sampled_from([0.2, 0.5, 0.6, 0.75, 1.0]))
def test_no_pair_is_missed_and_none_invented(
    left: list[str], right: list[str], threshold: float
) -> None:
    expected = [
        (i, j)
        for (i, a), (j, b) in product(enumerate(left), enumerate(right))
        if jaccard(shingles(a), shingles(b)) >= threshold - 1e-9
    ]
    assert [(m.left, m.right) for m in similar(left, right, threshold)] == expected


@given(texts=LISTS, compared=st.integers(1, 40), pairs=st.integers(1, 5))
def test_how_much_is_looked_at_together_changes_nothing(
    texts: list[str], compared: int, pairs: int
) -> None:
    whole = repeats(texts, 0.5)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(overlap, "_COMPARED", compared)
        patched.setattr(overlap, "_PAIRS", pairs)
        assert repeats(texts, 0.5) == whole


@given(left=LISTS, right=LISTS)
def test_similarity_is_symmetric(left: list[str], right: list[str]) -> None:
    there = {(m.left, m.right, m.similarity) for m in similar(left, right)}
    back = {(m.right, m.left, m.similarity) for m in similar(right, left)}
    assert there == back


@given(text=st.text(max_size=60))
def test_case_marks_and_spaces_do_not_count(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
    loud = f"  {text}!?\n"
    assert shingles(loud) == shingles(text)
    found = similar([text], [loud])
    assert found == ([(0, 0, 1.0)] if normalised(text) else [])


@given(one=TEXTS, other=TEXTS)
def test_jaccard_is_a_share_and_one_only_for_equal_sets(one: str, other: str) -> None:
    a, b = shingles(one), shingles(other)
    assert 0 <= jaccard(a, b) <= 1
    assert (jaccard(a, b) == 1) == (a == b and bool(a))


@given(texts=LISTS)
def test_repeats_are_pairs_of_different_places_the_later_one_first(texts: list[str]) -> None:
    pairs = repeats(texts)
    assert all(m.right < m.left for m in pairs)
    said = [normalised(text) for text in texts]
    again = {i for i, text in enumerate(said) if text and text in said[:i]}
    assert again <= {m.left for m in pairs}


def test_one_other_word_in_a_short_prompt_is_still_a_near_duplicate() -> None:
    first = "Write a short placeholder article about the history of tea in winter"
    second = "Write a short placeholder article about the history of tea in summer"
    other = "List three placeholder reasons why people like to walk at night"
    assert [m.right for m in similar([first], [second, other])] == [0]


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        similar(["a"], ["a"], threshold)
