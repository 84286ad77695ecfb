"""Near-duplicates between prompts: who was trained on a test, was not tested.

Pure, and exact: Jaccard similarity of character shingles, found without comparing every pair.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 5
"""Characters of a shingle. Prompts have a dozen words: one other word among them takes five of
eight word 5-grams away, but only one in seven of the character shingles."""
_ROUNDING = 1e-9
_SHARED = 4
"""Rare shingles that two texts must have in common to be compared at all."""

Shingles = frozenset[str]


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
    return _matches(
        [shingles(text) for text in left], [shingles(text) for text in right], threshold
    )


def repeats(texts: Sequence[str], threshold: float = 0.6) -> list[Match]:
    """Pairs of one list, the earlier text on the right: what it says more than once."""
    sets = [shingles(text) for text in texts]
    return _matches(sets, sets, threshold, only_earlier=True)


def _matches(
    lefts: Sequence[Shingles],
    rights: Sequence[Shingles],
    threshold: float,
    *,
    only_earlier: bool = False,
) -> list[Match]:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}, not above 0 and at most 1")
    counts = Counter(piece for sets in (lefts, rights) for one in sets for piece in one)
    holders: dict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(rights):
        for piece in _rarest(one, counts, threshold):
            holders[piece].append(place)
    found: list[Match] = []
    for place, one in enumerate(lefts):
        shared: Counter[int] = Counter()
        for piece in _rarest(one, counts, threshold):
            shared.update(holders.get(piece, ()))
        enough = min(_SHARED, _fewest(one, threshold))
        for other in sorted(j for j, times in shared.items() if times >= enough):
            if only_earlier and other >= place:
                break
            sizes = sorted((len(one), len(rights[other])))
            if sizes[0] < threshold * sizes[1] - _ROUNDING:
                continue
            similarity = jaccard(one, rights[other])
            if similarity >= threshold - _ROUNDING:
                found.append(Match(place, other, similarity))
    return found


def _fewest(one: Shingles, threshold: float) -> int:
    """How many shingles a text that is similar enough shares at least."""
    return math.ceil(threshold * len(one) - _ROUNDING)


def _rarest(one: Shingles, counts: Counter[str], threshold: float) -> list[str]:
    kept = len(one) - _fewest(one, threshold) + _SHARED
    return sorted(one, key=lambda piece: (counts[piece], piece))[:kept] if one else []
