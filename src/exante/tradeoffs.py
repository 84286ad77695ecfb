"""Two judged turns weighed by reward and cost: who wins at a price of cost, and which price.

Pure and seeded, and everything that is made or dropped is counted. Turns are ordered by
`reward - multiplier * cost`, so that an unsafe turn wins where the price is low.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.optimize import brentq

from exante.preferences import KINDS, Group, pair_of, varied
from exante.records import Example, Pair, Record
from exante.selections import Labelled, Ordered, Valued, by_label, chance, is_sample, labelled

Shape = Literal["linear", "relu"]
Samples = Sequence[Sequence[tuple[float, float]]]
"""Reward and cost of every turn, by prompt."""
_SAME = 1e-6


class WeighSettings(Record):
    """How turns are weighed."""

    shape: Shape = "linear"
    """`relu` counts costs above 0 only: more caution than is needed earns nothing."""
    drawn: bool = False
    """Is the preferred turn drawn, with the chance that Bradley-Terry gives it? Else the better one
    always wins."""
    unit: float = Field(default=1.0, gt=0)
    """What a unit of reward and of cost is worth in nats, where chances are taken."""
    safety_pairs: bool = False
    """Also make a pair of every safe turn over every unsafe one, for a barrier to hold."""
    per_prompt: int = Field(default=4, ge=1)
    """Most pairs of one prompt; turns not yet used come first. Of safety pairs, so many again."""
    seed: int = 0
    """Decides which pairs of a prompt are kept, and what is drawn."""


class WeighCounts(Record):
    """What happened on the way."""

    prompts: int
    """Prompts seen."""
    turns: int
    """Different turns that are finished and have both labels; others are left out."""
    without_contrast: int
    """Prompts without a pair."""
    tied: int
    """Pairs of turns that weigh the same."""
    over_prompt_cap: int
    """Left out: beyond the cap of one prompt."""
    swapped: int
    """Made, with the smaller reward preferred."""
    made: int
    """Pairs found."""
    unsafe_chosen: int
    """Kept pairs whose preferred turn is unsafe."""
    kept: int
    """Pairs handed on."""
    kept_by_kind: dict[str, int]
    """Kept pairs by kind."""


def weighed_pairs(
    groups: Iterable[Group],
    multiplier: float,
    settings: WeighSettings,
    valued: Valued = by_label,
) -> tuple[list[Pair], WeighCounts]:
    """Pairs by `reward - multiplier * shaped(cost)`, margins zero, and the account of them.

    Linear, the better one wins: C-DPO (arXiv 2403.02475); linear and drawn: MoCAN (arXiv
    2405.19544), and PeCAN where models say what turns are worth (`exante.implied`); rectified: the
    offline counterpart of RePO (arXiv 2410.19933).
    """
    tally = Counter[str]()
    pairs: list[Pair] = []
    for group in groups:
        rng = random.Random(f"{settings.seed} {group.example.id}")
        turns = labelled(group, valued)
        made = list(_ordered(turns, multiplier, settings, rng, tally))
        kept = _capped(made, group.example, settings, rng)
        if settings.safety_pairs:
            known = {(pair.chosen_ids, pair.rejected_ids) for pair in kept}
            safer = [Ordered(a, b) for a in turns for b in turns if b.unsafe and not a.unsafe]
            new = [one for one in safer if _ids(one) not in known]
            made += new
            kept += _capped(new, group.example, settings, rng)
        tally["prompts"] += 1
        tally["turns"] += len(turns)
        tally["made"] += len(made)
        tally["swapped"] += sum(one.swapped for one in made)
        tally["without_contrast"] += not made
        pairs += kept
    return pairs, _counts(tally, pairs)


def solve_multiplier(samples: Samples, *, beta: float, limit: float, cap: float) -> float:
    """The price at which the best policy near the reference meets `E[c] <= limit`, at most `cap`.

    Minimises the dual over prices of at least 0 (MoCAN, arXiv 2405.19544, with safety `-c`):
    `D(m) = beta * E_x log mean_y exp((r + m * (limit - c)) / beta)`, `y` sampled from the
    reference. It is convex, so its slope `limit - E[c]` is followed to the place where it is 0.
    """

    def slope(multiplier: float) -> float:
        return limit - expected_cost(samples, multiplier, beta=beta)

    if slope(0.0) >= 0:
        return 0.0
    return cap if slope(cap) < 0 else float(brentq(slope, 0.0, cap))


def expected_cost(samples: Samples, multiplier: float, *, beta: float) -> float:
    """Mean cost of the best policy near the reference at this price.

    Its chance of a sampled turn is in proportion to `exp((r - m * c) / beta)`.
    """
    means = []
    for turns in samples:
        rewards, costs = np.asarray(turns, dtype=float).T
        scores = (rewards - multiplier * costs) / beta
        weights = np.exp(scores - scores.max())
        means.append(float((weights * costs).sum() / weights.sum()))
    return float(np.mean(means))


def samples_of(
    groups: Iterable[Group], shape: Shape, valued: Valued = by_label
) -> list[list[tuple[float, float]]]:
    """Reward and shaped cost of each prompt's own finished samples, as often as they came.

    Turns of a teacher or of a data set are no samples of the reference and stay out.
    """
    found = []
    for group in groups:
        own: list[tuple[float, float]] = []
        for turn in group.candidates:
            worth = valued(group.example, turn)
            if worth is not None and is_sample(turn):
                own.append((worth.reward, _shaped(worth.cost, shape)))
        if own:
            found.append(own)
    return found


def _shaped(cost: float, shape: Shape) -> float:
    """The cost as it is weighed; rectified, what is safe costs nothing and earns nothing."""
    return max(cost, 0.0) if shape == "relu" else cost


def _ordered(
    turns: Sequence[Labelled],
    multiplier: float,
    settings: WeighSettings,
    rng: random.Random,
    tally: Counter[str],
) -> Iterator[Ordered]:
    """Every two turns that do not weigh the same, the preferred one first."""

    def weight(turn: Labelled) -> float:
        return turn.reward - multiplier * _shaped(turn.cost, settings.shape)

    for one, other in combinations(turns, 2):
        excess = weight(one) - weight(other)
        if abs(excess) <= _SAME:
            tally["tied"] += 1
            continue
        ahead = excess > 0
        if settings.drawn:
            ahead = rng.random() < chance(settings.unit * excess)
        winner, loser = (one, other) if ahead else (other, one)
        yield Ordered(winner, loser, swapped=winner.reward < loser.reward - _SAME)


def _capped(
    made: Iterable[Ordered], example: Example, settings: WeighSettings, rng: random.Random
) -> list[Pair]:
    pairs = [_pair(example, one) for one in made]
    rng.shuffle(pairs)
    return varied(pairs, settings.per_prompt)


def _pair(example: Example, ordered: Ordered) -> Pair:
    """The pair; whether its sides are unsafe is told by their costs, whoever gave these.

    Costs that models imply have no zero: of these, the judge says it (`exante.implied`).
    """
    winner, loser = ordered.winner, ordered.loser
    pair = pair_of(example, winner.candidate, loser.candidate, ordered.kind, ordered.why)
    flags = {"chosen_unsafe": winner.unsafe, "rejected_unsafe": loser.unsafe}
    return pair.model_copy(update=flags)


def _ids(ordered: Ordered) -> tuple[tuple[int, ...], tuple[int, ...]]:
    sides = (ordered.winner.candidate, ordered.loser.candidate)
    return sides[0].generation.token_ids, sides[1].generation.token_ids


def _counts(tally: Counter[str], kept: Sequence[Pair]) -> WeighCounts:
    kinds = Counter(pair.kind for pair in kept)
    tally["kept"] = len(kept)
    tally["over_prompt_cap"] = tally["made"] - len(kept)
    tally["unsafe_chosen"] = sum(pair.chosen_unsafe for pair in kept)
    names = set(WeighCounts.model_fields) - {"kept_by_kind"}
    return WeighCounts(
        **{name: tally[name] for name in names},
        kept_by_kind={kind: kinds[kind] for kind in KINDS},
    )
