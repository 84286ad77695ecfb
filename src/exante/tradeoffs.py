"""Two judged turns weighed by reward and cost: who wins at a price of cost, and which price.

Pure and seeded, and everything that is made or dropped is counted. Turns are not ranked by what is
right here, but by `reward - multiplier * cost`: an unsafe turn may win where the price is low.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.optimize import brentq

from exante.errors import InputError
from exante.preferences import Candidate, Group, pair_of
from exante.records import Example, Judgement, Pair, PairKind, Record

Shape = Literal["linear", "relu"]
Samples = Sequence[Sequence[tuple[float, float]]]
"""Reward and cost of every turn, by prompt."""
_NOT_TOLD = ("truncated", "undetermined")
_LEAST_COST = 0.01
_SAME = 1e-9


class Label(Record):
    """What a data set or a cost model says of one turn; None: it does not say."""

    cost: float
    reward: float | None = None
    unsafe: bool | None = None


class WeighSettings(Record):
    """How turns are weighed."""

    shape: Shape = "linear"
    """`relu` counts costs above 0 only: more caution than is needed earns nothing."""
    labels: Literal["hard", "bernoulli"] = "hard"
    """`hard`: the better one wins; `bernoulli`: with the chance that Bradley-Terry gives it."""
    unit: float = Field(default=1.0, gt=0)
    """What a unit of reward and cost is worth in nats, where chances are taken."""
    safety_pairs: bool = False
    """Also make a pair of every safe turn over every unsafe one, for a barrier to hold."""
    per_prompt: int = Field(default=4, ge=1)
    """Most pairs of one prompt, drawn by lot; of safety pairs, so many again."""
    seed: int = 0
    """Draws labels and pairs."""


class WeighCounts(Record):
    """What happened on the way."""

    prompts: int
    """Prompts seen."""
    without_contrast: int
    """Prompts without a pair."""
    unknown: int
    """Turns left out: their reward or cost is not known."""
    unfinished: int
    """Turns left out: cut by the length limit."""
    ties: int
    """Pairs of turns that weigh the same."""
    over_prompt_cap: int
    """Dropped: beyond the cap of one prompt."""
    reversed: int
    """Kept pairs whose winner has the smaller reward."""
    unsafe_chosen: int
    """Kept pairs whose winner is unsafe."""
    kept: int
    """Pairs handed on."""
    kept_by_kind: dict[str, int]
    """Of these, a safe turn over an unsafe one (safety), and others."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """One turn with what decides about it."""

    turn: Candidate
    reward: float
    cost: float


def cost_of(judgement: Judgement) -> float | None:
    """The cost that was written, else what the verdict says; None if it could not be told.

    A verdict is worth 1 or -1; with a graded harm `h`, `h` if unsafe and `h - 1` if safe. Unsafe is
    always above 0 and safe is not.
    """
    if judgement.cost is not None:
        return judgement.cost
    if judgement.unsafe:
        return 1.0 if judgement.harm is None else max(_LEAST_COST, judgement.harm)
    if judgement.unsafe is None or judgement.answer in _NOT_TOLD:
        return None
    return -1.0 if judgement.harm is None else judgement.harm - 1.0


def reward_of(example: Example, judgement: Judgement) -> float | None:
    """The reward that was written, else what the verdict says; None if it could not be told.

    How far the answer does what was asked, harm aside, as annotators of helpfulness are told: 1 for
    doing the harm that was asked for, 0 for declining, else the judge's usefulness.
    """
    if judgement.reward is not None:
        return judgement.reward
    if judgement.unsafe is None or judgement.answer in _NOT_TOLD:
        return None
    if judgement.unsafe:
        return 1.0 if example.kind == "harmful" else 0.0
    return 0.0 if judgement.answer == "refused" else judgement.useful


def labels_of(example: Example) -> dict[str, Label]:
    """The labels of the prompt's responses by text, of those that say whether they are safe.

    A verdict without a cost is worth 1 or -1, and half of it for the safer of two unsafe responses
    or the less safe of two safe ones. Without rewards, the better response has 1, the others 0.

    Raises:
        InputError: a response is labelled safe and has a cost above 0, or the other way round.
    """
    found: dict[str, Label] = {}
    for place, response in enumerate(example.responses):
        cost, unsafe = response.cost, response.unsafe
        if cost is None and unsafe is not None:
            softer = example.safer is not None and (place == example.safer) == unsafe
            alike = all(other.unsafe == unsafe for other in example.responses)
            cost = (1.0 if unsafe else -1.0) * (0.5 if softer and alike else 1.0)
        if cost is None:
            continue
        if unsafe is not None and unsafe != (cost > 0):
            raise InputError(
                f"response {place} is labelled unsafe={unsafe} and has cost {cost:g}",
                where=example.id,
                fix="a cost above 0 means unsafe: turn the sign of the costs, or mend the label",
            )
        reward = response.reward
        if reward is None and example.better is not None:
            reward = float(place == example.better)
        found[response.text] = Label(cost=cost, reward=reward, unsafe=cost > 0)
    return found


def shaped(cost: float, shape: Shape) -> float:
    """The cost as it is weighed; rectified, what is safe costs nothing and earns nothing."""
    return max(cost, 0.0) if shape == "relu" else cost


def weighed_pairs(
    groups: Iterable[Group], multiplier: float, settings: WeighSettings
) -> tuple[list[Pair], WeighCounts]:
    """Pairs by `reward - multiplier * shaped(cost)`, margins zero, and the account of them.

    Linear and hard: C-DPO (arXiv 2403.02475); linear and drawn: MoCAN (arXiv 2405.19544);
    rectified: the offline counterpart of RePO (arXiv 2410.19933).
    """
    tally: Counter[str] = Counter()
    pairs: list[Pair] = []
    for group in groups:
        rng = random.Random(f"{settings.seed} {group.example.id}")
        # Each text once; the reference's samples of a dual keep how often they came.
        turns = list({w.turn.generation.token_ids: w for w in _known(group, tally)}.values())
        ordered = list(_ordered(turns, multiplier, settings, rng, tally))
        safer = [(a, b) for a in turns for b in turns if a.cost <= 0 < b.cost]
        kept = _drawn(ordered, settings, rng, tally)
        if settings.safety_pairs:
            known = {_ids(pair) for pair in kept}
            kept += [p for p in _drawn(safer, settings, rng, tally) if _ids(p) not in known]
        tally["prompts"] += 1
        tally["without_contrast"] += not kept
        tally["reversed"] += sum(winner.reward < loser.reward for winner, loser in kept)
        tally["unsafe_chosen"] += sum(winner.cost > 0 for winner, _ in kept)
        pairs += [_pair(group.example, winner, loser) for winner, loser in kept]
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


def samples_of(groups: Iterable[Group], shape: Shape) -> list[list[tuple[float, float]]]:
    """Reward and shaped cost of each prompt's own samples, those whose both are known.

    Turns of a teacher or of a data set are no samples of the reference and stay out.
    """
    found = []
    for group in groups:
        known = _known(group, Counter())
        own = [w for w in known if w.turn.generation.source == "policy"]
        if own:
            found.append([(w.reward, shaped(w.cost, shape)) for w in own])
    return found


def _known(group: Group, tally: Counter[str]) -> list[Weighed]:
    """The prompt's finished turns whose reward and cost are known."""
    found = []
    for turn in group.candidates:
        reward, cost = reward_of(group.example, turn.judgement), cost_of(turn.judgement)
        if turn.generation.finish != "stop":
            tally["unfinished"] += 1
        elif reward is None or cost is None:
            tally["unknown"] += 1
        else:
            found.append(Weighed(turn, reward, cost))
    return found


def _ordered(
    turns: Sequence[Weighed],
    multiplier: float,
    settings: WeighSettings,
    rng: random.Random,
    tally: Counter[str],
) -> Iterator[tuple[Weighed, Weighed]]:
    """Every two turns that differ, winner first."""
    for one, other in combinations(turns, 2):
        ours, theirs = (
            t.reward - multiplier * shaped(t.cost, settings.shape) for t in (one, other)
        )
        if abs(ours - theirs) <= _SAME:
            tally["ties"] += 1
            continue
        if settings.labels == "hard":
            wins = ours > theirs
        else:
            wins = rng.random() < 0.5 * (1 + math.tanh(settings.unit * (ours - theirs) / 2))
        yield (one, other) if wins else (other, one)


def _drawn(
    pairs: Sequence[tuple[Weighed, Weighed]],
    settings: WeighSettings,
    rng: random.Random,
    tally: Counter[str],
) -> list[tuple[Weighed, Weighed]]:
    kept = rng.sample(list(pairs), min(len(pairs), settings.per_prompt))
    tally["over_prompt_cap"] += len(pairs) - len(kept)
    return kept


def _ids(pair: tuple[Weighed, Weighed]) -> tuple[tuple[int, ...], ...]:
    return tuple(one.turn.generation.token_ids for one in pair)


def _pair(example: Example, winner: Weighed, loser: Weighed) -> Pair:
    kind: PairKind = "safety" if winner.cost <= 0 < loser.cost else "usefulness"
    ours, theirs = (f"reward {w.reward:.2f}, cost {w.cost:.2f}" for w in (winner, loser))
    return pair_of(example, winner.turn, loser.turn, kind, f"{ours}, over {theirs}").model_copy(
        update={"chosen_unsafe": winner.cost > 0, "rejected_unsafe": loser.cost > 0}
    )


def _counts(tally: Counter[str], kept: Sequence[Pair]) -> WeighCounts:
    kinds = Counter(str(pair.kind) for pair in kept)
    names = set(WeighCounts.model_fields) - {"kept", "kept_by_kind"}
    return WeighCounts(
        **{name: tally[name] for name in names}, kept=len(kept), kept_by_kind=dict(kinds)
    )
