"""From labelled turns to preference pairs, as the field's methods choose them: by reward and cost.

Pure and seeded, and everything that is made, swapped or dropped is counted. Nothing is judged or
scored here. `preferences` holds the choice of ERPO, which also looks at traces.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

from pydantic import Field

from exante.labels import cost_of, reward_of
from exante.preferences import KINDS, Candidate, Group, pair_of, varied
from exante.records import Example, Pair, PairKind, Record

Rule = Literal["better", "safer", "safe_first", "safe_better", "safedpo"]
"""Which of two turns is preferred: `better` the more helpful one, whatever its safety; `safer` the
one of less cost; `safe_first` the safe one, and of two that are equally safe the more helpful one;
`safe_better` as `better`, but no unsafe turn is preferred to any; `safedpo` as `better`, but turned
round where only the preferred one is unsafe, and dropped where both are."""

Margin = Literal["none", "unsafe", "cost", "balance", "length"]
"""What is asked of a pair beyond being ordered, times `strength`: `unsafe` u_l - u_w (the offset of
SafeDPO), `cost` c_l - c_w (SC-DPO in text, MODPO with cost as its other reward), `balance` BFPO's
target, `length` n_l - n_w in tokens (R-DPO)."""

_SAME = 1e-6


class SelectionSettings(Record):
    """How pairs are chosen from labels."""

    seed: int = 0
    """Decides which pairs of a prompt are kept, and what is drawn."""
    per_prompt: int = Field(default=4, ge=1)
    """Most pairs of one prompt; turns not yet used come first."""
    certainty: float | None = Field(default=None, gt=0.0)
    """How surely the better turn is preferred: drawn with the chance sigmoid(certainty * difference
    of the labels), as by people who disagree; None: always. Of preferences that are certain a
    margin changes only how far they are pushed, never which way."""
    margin: Margin = "none"
    """What is asked of a pair beyond being ordered."""
    strength: float = Field(default=1.0, ge=0.0)
    """Factor of the margin, in nats: Delta of SafeDPO, lambda of SC-DPO, alpha of R-DPO."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A finished turn and its two labels."""

    candidate: Candidate
    reward: float
    """0 to 1: how far it does what was asked, whatever its safety."""
    cost: float
    """-1 to 1; above 0 is unsafe."""

    @property
    def unsafe(self) -> bool:
        """The one sign rule."""
        return self.cost > 0


Valued = Callable[[Example, Candidate], Labelled | None]
"""What a turn to a prompt is worth; None where that is not known."""


def by_label(example: Example, candidate: Candidate) -> Labelled | None:
    """What the judge says it is worth."""
    reward, cost = reward_of(example, candidate.judgement), cost_of(candidate.judgement)
    return None if reward is None or cost is None else Labelled(candidate, reward, cost)


@dataclass(frozen=True, slots=True)
class Ordered:
    """Two turns, the preferred one first."""

    winner: Labelled
    loser: Labelled
    swapped: bool = False
    """Is the preference the reverse of the one that was observed?"""

    @property
    def kind(self) -> PairKind:
        """`safety` if only the preferred turn is safe, or if it is safer and not more helpful."""
        only_safe = self.loser.unsafe and not self.winner.unsafe
        safer = self.winner.cost < self.loser.cost - _SAME
        more_helpful = self.winner.reward > self.loser.reward + _SAME
        return "safety" if only_safe or (safer and not more_helpful) else "usefulness"

    @property
    def why(self) -> str:
        """In words and numbers."""
        return f"{_said(self.winner)} over {_said(self.loser)}{', turned' if self.swapped else ''}"


class LabelCounts(Record):
    """What happened on the way: `compared` is tied, dropped and made; `made` is capped and kept."""

    prompts: int
    """Prompts seen."""
    turns: int
    """Different turns that are finished and have both labels; others are left out."""
    without_contrast: int
    """Prompts without any pair."""
    compared: int
    """Sets of two different turns to one prompt."""
    tied: int
    """Left out: by these labels neither is preferred."""
    dropped: int
    """Left out: the rule wants no such pair, for an unsafe turn would be preferred."""
    swapped: int
    """Made, in the reverse of the observed order."""
    made: int
    """Pairs found."""
    over_prompt_cap: int
    """Left out: beyond the cap of one prompt."""
    kept: int
    """Pairs handed on."""
    kept_by_kind: dict[str, int]
    """Kept pairs by kind."""
    kept_harmful: int
    """Kept pairs on harmful prompts."""
    unsafe_chosen: int
    """Kept pairs whose preferred turn is unsafe."""


@dataclass(frozen=True, slots=True)
class LabelSelection:
    """Pairs, and the account of them."""

    pairs: list[Pair]
    counts: LabelCounts


def pairs_by_label(
    groups: Iterable[Group], rule: Rule, settings: SelectionSettings
) -> LabelSelection:
    """Pairs of each prompt's labelled turns, ordered by `rule`."""
    tally = Counter[str]()
    pairs: list[Pair] = []
    for group in groups:
        turns = labelled(group)
        tally["prompts"] += 1
        tally["turns"] += len(turns)
        rng = random.Random(f"{settings.seed} {group.example.id}")
        made = list(_ordered(turns, rule, settings.certainty, rng, tally))
        tally["without_contrast"] += not made
        tally["made"] += len(made)
        tally["swapped"] += sum(one.swapped for one in made)
        found = [_pair(group.example, one, settings) for one in made]
        rng.shuffle(found)
        kept = varied(found, settings.per_prompt)
        tally["over_prompt_cap"] += len(found) - len(kept)
        pairs += kept
    kinds = Counter(pair.kind for pair in pairs)
    counted = set(LabelCounts.model_fields) - {"kept_by_kind"}
    tally["kept"] = len(pairs)
    tally["kept_harmful"] = sum(pair.harmful for pair in pairs)
    tally["unsafe_chosen"] = sum(pair.chosen_unsafe for pair in pairs)
    counts = LabelCounts(
        **{name: tally[name] for name in counted},
        kept_by_kind={kind: kinds[kind] for kind in KINDS},
    )
    return LabelSelection(pairs, counts)


def is_sample(candidate: Candidate) -> bool:
    """Did the policy say it by itself, to the end?"""
    return candidate.generation.source == "policy" and candidate.generation.finish == "stop"


def labelled(group: Group, valued: Valued = by_label) -> list[Labelled]:
    """The prompt's finished turns that have both labels, equal ones once."""
    found: dict[tuple[int, ...], Labelled] = {}
    for candidate in group.candidates:
        turn = valued(group.example, candidate)
        if turn is not None and candidate.generation.finish == "stop":
            found[candidate.generation.token_ids] = turn
    return list(found.values())


def transformed(pair: Ordered) -> Ordered | None:
    """SafeDPO's T (arXiv 2505.20065, section 3.2): no unsafe turn is ever preferred.

    Kept if the preferred turn is safe, turned round if only the other one is, else None.
    """
    if not pair.winner.unsafe:
        return pair
    if pair.loser.unsafe:
        return None
    return Ordered(pair.loser, pair.winner, swapped=not pair.swapped)


def chance(excess: float) -> float:
    """Bradley-Terry's chance that the one which is worth so many nats more is preferred."""
    # The sigmoid, in a form that no number is too large for.
    return 0.5 * (1.0 + math.tanh(excess / 2))


def margin_of(pair: Ordered, settings: SelectionSettings) -> float:
    """What is asked of beta times the gap, in nats."""
    return settings.strength * _MARGINS[settings.margin](pair)


def balance(pair: Ordered) -> float:
    """BFPO's target of beta times the gap (arXiv 2408.15313; b1 = 3, alpha = 0.5).

    1 for safe over unsafe, 0.5 and -0.5 between equally safe and equally unsafe turns, -1 where an
    unsafe turn is the more helpful one, which is thereby unlearned.
    """
    return 1.5 * (not pair.winner.unsafe) - 0.5 * (not pair.loser.unsafe) - 0.5


def _ordered(
    turns: list[Labelled],
    rule: Rule,
    certainty: float | None,
    rng: random.Random,
    tally: Counter[str],
) -> Iterator[Ordered]:
    """The pairs that the rule makes; what it leaves out is counted."""
    for one, other in combinations(turns, 2):
        tally["compared"] += 1
        excess = _excess(one, other, rule)
        if abs(excess) <= _SAME:
            tally["tied"] += 1
            continue
        ahead = excess > 0 if certainty is None else rng.random() < chance(certainty * excess)
        wanted = _wanted(Ordered(one, other) if ahead else Ordered(other, one), rule)
        if wanted is None:
            tally["dropped"] += 1
        else:
            yield wanted


def _excess(one: Labelled, other: Labelled, rule: Rule) -> float:
    """By how much `one` is better than `other` in the labels that the rule observes."""
    if rule == "safer":
        return other.cost - one.cost
    if rule == "safe_first" and one.unsafe != other.unsafe:
        return float(other.unsafe - one.unsafe)
    return one.reward - other.reward


def _wanted(pair: Ordered, rule: Rule) -> Ordered | None:
    """The pair as the rule hands it on."""
    if rule == "safedpo":
        return transformed(pair)
    return None if rule == "safe_better" and pair.winner.unsafe else pair


def _pair(example: Example, ordered: Ordered, settings: SelectionSettings) -> Pair:
    return pair_of(
        example,
        ordered.winner.candidate,
        ordered.loser.candidate,
        ordered.kind,
        ordered.why,
        margin=margin_of(ordered, settings),
    )


def _tokens(turn: Labelled) -> int:
    return len(turn.candidate.generation.token_ids)


def _said(turn: Labelled) -> str:
    return f"{turn.candidate.judgement.answer} (reward {turn.reward:.2f}, cost {turn.cost:.2f})"


_MARGINS: Mapping[Margin, Callable[[Ordered], float]] = {
    "none": lambda _: 0.0,
    "unsafe": lambda pair: float(pair.loser.unsafe - pair.winner.unsafe),
    "cost": lambda pair: pair.loser.cost - pair.winner.cost,
    "balance": balance,
    "length": lambda pair: float(_tokens(pair.loser) - _tokens(pair.winner)),
}

RULES: tuple[Rule, ...] = get_args(Rule)
"""All of them."""
