"""Near-duplicates between prompts: who was trained on a test, was not tested.

Pure, and exact: Jaccard similarity of character shingles, found without comparing every pair.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

WIDTH = 5
"""Characters of a shingle. Prompts have a dozen words: one other word among them takes five of
eight word 5-grams away, but only one in seven of the character shingles."""
_ROUNDING = 1e-9
_SHARED = 4
"""Rare shingles that two texts must have in common to be compared at all."""
_COMPARED = 1 << 22
"""Rare shingles in common that are counted at a time, over all pairs: some 250 MB at most."""
_PAIRS = 1 << 16
"""Pairs that are compared in full at a time."""

Shingles = frozenset[str]
Ints = NDArray[np.int32]


class Match(NamedTuple):
    """Two texts by their places, and how similar they are."""

    left: int
    right: int
    similarity: float
    """Shared shingles over all shingles of the two, 0 to 1."""


def normalised(text: str) -> str:
    """Words in lower case with single spaces between them; marks and their kinds do not count."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(re.findall(r"\w+", folded))


def same_words(text: str) -> str:
    """What texts of the same words in the same order have in common: a hash, 16 hex digits.

    Of prompts it is the split group: two of them never stand on both sides of a split.
    """
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:16]


def shingles(text: str, width: int = WIDTH) -> Shingles:
    """All runs of `width` characters of the normalised text; of a shorter one the text itself."""
    plain = normalised(text)
    if len(plain) <= width:
        return frozenset([plain] if plain else [])
    return frozenset(plain[start : start + width] for start in range(len(plain) - width + 1))


def jaccard(left: Shingles, right: Shingles) -> float:
    """Shared over all; 0 if both are empty, for nothing can be said of nothing."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared) if shared else 0.0


def similar(left: Sequence[str], right: Sequence[str], threshold: float = 0.6) -> list[Match]:
    """All pairs of a left and a right text that are at least `threshold` similar, in order.

    Prefix filtering (Chaudhuri et al. 2006, ICDE, section 4), with longer prefixes that must share
    more (Wang et al. 2012, SIGMOD): with all shingles ordered from the rarest, two sets of that
    similarity share `k` among the first `n - ceil(threshold n) + k` of each, so that only texts
    which share rare shingles are compared, and no pair is missed.

    Raises:
        ValueError: the threshold is not above 0 and at most 1.
    """
    numbers: dict[str, int] = {}
    ours, theirs = _numbered(left, numbers), _numbered(right, numbers)
    return _matches(ours, theirs, len(numbers), threshold)


def repeats(texts: Sequence[str], threshold: float = 0.6) -> list[Match]:
    """Pairs of one list, the earlier text on the right: what it says more than once."""
    numbers: dict[str, int] = {}
    rows = _numbered(texts, numbers)
    return _matches(rows, rows, len(numbers), threshold, only_earlier=True)


def _numbered(texts: Iterable[str], numbers: dict[str, int]) -> list[Ints]:
    """The shingles of each text as numbers; new ones are added to `numbers`."""
    return [
        np.array([numbers.setdefault(piece, len(numbers)) for piece in shingles(text)], np.int32)
        for text in texts
    ]


def _matches(
    lefts: Sequence[Ints],
    rights: Sequence[Ints],
    width: int,
    threshold: float,
    *,
    only_earlier: bool = False,
) -> list[Match]:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}, not above 0 and at most 1")
    if not width:
        return []
    ranks = _ranks([*lefts, *rights], width)
    ours = _table([ranks[one] for one in lefts], width)
    theirs = ours if only_earlier else _table([ranks[one] for one in rights], width)
    sizes, sizes_right = np.diff(ours.indptr), np.diff(theirs.indptr)
    fewest = np.ceil(threshold * sizes - _ROUNDING)
    prefixes = _prefixes(ours, threshold)
    holders = _prefixes(theirs, threshold).T.tocsr()
    found: list[Match] = []
    for rows in _blocks(prefixes @ np.diff(holders.indptr)):
        shared = (prefixes[rows] @ holders).tocoo()
        i, j = shared.row + rows.start, shared.col
        small, large = np.sort([sizes[i], sizes_right[j]], axis=0)
        kept = (shared.data >= np.minimum(_SHARED, fewest[i])) & (
            small >= threshold * large - _ROUNDING
        )
        if only_earlier:
            kept &= j < i
        order = np.lexsort((j[kept], i[kept]))
        found += _alike(ours, theirs, i[kept][order], j[kept][order], threshold)
    return found


def _alike(ours: Any, theirs: Any, i: Ints, j: Ints, threshold: float) -> Iterator[Match]:
    """Of these pairs of rows, those that are similar enough."""
    for start in range(0, len(i), _PAIRS):
        some = slice(start, start + _PAIRS)
        left, right = ours[i[some]], theirs[j[some]]
        shared = np.asarray(left.multiply(right).sum(axis=1)).ravel()
        every = np.diff(left.indptr) + np.diff(right.indptr) - shared
        values = shared / every
        for place in np.flatnonzero(values >= threshold - _ROUNDING):
            yield Match(int(i[start + place]), int(j[start + place]), float(values[place]))


def _ranks(rows: Sequence[Ints], width: int) -> Ints:
    """The place of each shingle when all are ordered from the rarest."""
    order = np.argsort(np.bincount(np.concatenate(rows), minlength=width), kind="stable")
    ranks = np.empty(width, np.int32)
    ranks[order] = np.arange(width, dtype=np.int32)
    return ranks


def _table(rows: Sequence[Ints], width: int) -> Any:
    """A row for each text, with a one for each shingle."""
    ends = np.cumsum([0, *map(len, rows)])
    columns = np.concatenate([np.sort(one) for one in rows] or [np.empty(0, np.int32)])
    return csr_array((np.ones(len(columns), np.int32), columns, ends), shape=(len(rows), width))


def _prefixes(table: Any, threshold: float) -> Any:
    """The table with the rarest shingles of each text only, as many as may decide."""
    sizes = np.diff(table.indptr)
    kept = sizes - np.ceil(threshold * sizes - _ROUNDING) + _SHARED
    places = np.arange(table.nnz) - np.repeat(table.indptr[:-1], sizes)
    inside = places < np.repeat(kept, sizes)
    ends = np.concatenate([[0], np.cumsum(np.minimum(sizes, kept))]).astype(int)
    return csr_array((table.data[inside], table.indices[inside], ends), shape=table.shape)


def _blocks(costs: Ints) -> Iterator[slice]:
    """Rows whose comparisons fit into memory together; one row at least."""
    start = 0
    total = np.cumsum(costs)
    while start < len(costs):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + _COMPARED, side="right")))
        yield slice(start, stop)
        start = stop
