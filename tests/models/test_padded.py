"""Plain padded batches lose no token and keep to their budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exante.models.padded import right_padded, within_tokens

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@given(LENGTHS)
def test_rows_come_back_from_ids_and_mask(lengths: list[int]) -> None:
    rows = [list(range(1, length + 1)) for length in lengths]
    ids, mask = right_padded(rows, 0)
    assert ids.shape == mask.shape == (len(rows), max(lengths))
    assert [
        [int(i) for i in line[seen.bool()]] for line, seen in zip(ids, mask, strict=True)
    ] == rows


@given(LENGTHS, st.integers(1, 200))
def test_every_place_is_in_one_batch_within_the_budget(lengths: list[int], tokens: int) -> None:
    batches = list(within_tokens(lengths, tokens))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[place] for place in batch)
        assert len(batch) == 1 or len(batch) * longest <= tokens
