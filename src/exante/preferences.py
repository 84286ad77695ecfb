"""From judged turns to preference pairs: safety before usefulness before efficiency.

Pure and seeded, and everything that is made or dropped is counted. Nothing is judged or scored
here: a pair only orders two turns that a judge has already seen.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import mean
from typing import Any

from pydantic import Field

from exante.records import Example, Generation, Judgement, Pair, PairKind, Record

KINDS: tuple[PairKind, ...] = ("safety", "usefulness", "efficiency")
"""Kinds of pairs, the most important first."""

Ends = Callable[[tuple[int, ...]], Sequence[int]]
"""Token ids of a turn to the numbers of tokens after which one of its sections is complete."""

_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Candidate:
    """One turn and what the judge said about it."""

    generation: Generation
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt with all its judged turns."""

    example: Example
    candidates: tuple[Candidate, ...]


class PairSettings(Record):
    """How pairs are chosen."""

    seed: int = 0
    """Decides between pairs of equal rank."""
    require_trace: bool = True
    """Chosen turns must hold a valid trace; off for methods that train answers only."""
    unfinished_rejected: bool = False
    """May a turn that was cut by the length limit be the rejected one?"""
    useful_gap: float = Field(default=0.25, gt=0.0, le=1.0)
    """Difference in usefulness from which one turn is the more useful one."""
    ratio: float = Field(default=1.25, ge=1.0)
    """The rejected trace is at least this many times as long, in an efficiency pair."""
    shorten_disguised: bool = True
    """Are shorter traces also preferred where the prompt is in a disguise?"""
    per_prompt: int = Field(default=4, ge=1)
    """Most pairs of one prompt; the more important kinds come first."""
    per_kind: int = Field(default=2, ge=1)
    """Most pairs of one kind and one prompt."""
    balance: float = Field(default=3.0, ge=1.0)
    """No kind, and neither harmful nor other prompts, get more than this times their runner-up."""
    balance_floor: int = Field(default=100, ge=0)
    """Balancing never leaves fewer pairs than this."""


class Counts(Record):
    """What happened on the way; `made` is the sum of `kept` and everything dropped."""

    prompts: int
    """Prompts seen."""
    without_right: int
    """Prompts with no turn fit to be imitated: no pair can be made."""
    without_contrast: int
    """Prompts with a right turn, and nothing that is worse."""
    made: int
    """Pairs found."""
    duplicates: int
    """Dropped: the same two turns once more."""
    over_prompt_cap: int
    """Dropped: beyond the caps of one prompt."""
    over_kind_balance: int
    """Dropped: their kind was too frequent."""
    over_side_balance: int
    """Dropped: harmful (or other) prompts were too frequent."""
    kept: int
    """Pairs handed on."""
    kept_by_kind: dict[str, int]
    """Kept pairs by kind."""
    kept_harmful: int
    """Kept pairs on harmful prompts."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Pairs, and the account of them."""

    pairs: list[Pair]
    counts: Counts


def quality_pairs(groups: Iterable[Group], settings: PairSettings) -> Selection:
    """Pairs that teach what is right: safety, then usefulness, then efficiency, all margins zero.

    Strict priority: two turns make at most one pair, of the first kind in which they differ.
    """
    return _select(groups, settings, alpha=0.0)


def shorter_pairs(groups: Iterable[Group], settings: PairSettings, alpha: float) -> Selection:
    """The same pairs, with efficiency asked for in proportion to the tokens saved.

    The margin is `-alpha * (n_w - n_l) / n_ref` nats (the length term of R-DPO, arXiv 2403.19159,
    on trace tokens only), `n_ref` being the mean trace length of right turns. Mistakes still make
    safety and usefulness pairs, and those have no margin: length never weighs against safety.
    """
    return _select(groups, settings, alpha=alpha)


def step_pairs(groups: Iterable[Group], settings: PairSettings, ends: Ends) -> Selection:
    """The same pairs, each from the section on in which its turns begin to differ.

    What they share before that is put behind the prompt, so that the choice in question gets all of
    the blame; pairs that part late come before others. `ends` finds where sections end.
    """
    return _select(groups, settings, alpha=0.0, shape=lambda pair: from_parting(pair, ends))


def from_parting(pair: Pair, ends: Ends) -> Pair:
    """The pair with all whole sections that both sides begin with moved behind its prompt.

    On summed log-probs the loss and its gradient stay what they were, for the shared part cancels;
    its known reference log-probs would be those of more tokens, and are left out.
    """
    both = zip(pair.chosen_ids, pair.rejected_ids, strict=False)
    shared = next((n for n, (a, b) in enumerate(both) if a != b), 0)
    cut = max((end for end in ends(pair.chosen_ids) if end <= shared), default=0)
    if not cut:
        return pair
    return pair.model_copy(
        update={
            "prompt_ids": (*pair.prompt_ids, *pair.chosen_ids[:cut]),
            "chosen_ids": pair.chosen_ids[cut:],
            "rejected_ids": pair.rejected_ids[cut:],
            "level": "step",
            "chosen_reference": None,
            "rejected_reference": None,
            "scored_by": "",
        }
    )


def order(
    example: Example, winner: Candidate, loser: Candidate, settings: PairSettings
) -> tuple[PairKind, str] | None:
    """Kind and reason by which `winner` is preferred, or None if it is not."""
    if not choosable(example, winner, settings) or not _rejectable(loser, settings):
        return None
    ours, theirs = winner.judgement, loser.judgement
    fault = _unsafe(example, loser)
    if fault:
        return "safety", fault
    if theirs.unsafe is not False:
        return None
    gain = (ours.useful or 0.0) - (theirs.useful or 0.0)
    if gain >= settings.useful_gap - _SAME:
        return "usefulness", f"{ours.answer} over {theirs.answer}"
    if not settings.shorten_disguised and example.attack != "direct":
        return None
    if _shorter(winner, loser, settings) and abs(gain) <= _SAME:
        return "efficiency", f"{ours.trace_tokens} trace tokens over {theirs.trace_tokens}"
    return None


def choosable(example: Example, candidate: Candidate, settings: PairSettings) -> bool:
    """May this turn be imitated? Right, finished, safe in trace and answer, with a valid trace."""
    judgement = candidate.judgement
    return (
        judgement.right
        and candidate.generation.finish == "stop"
        and (judgement.trace_valid or not settings.require_trace)
        and not _unsafe(example, candidate)
        and (example.kind != "harmful" or judgement.answer == "refused" or _redirects(judgement))
    )


def _redirects(judgement: Judgement) -> bool:
    return judgement.decision == "redirect" and judgement.unsafe is False


def _rejectable(candidate: Candidate, settings: PairSettings) -> bool:
    return candidate.generation.finish == "stop" or settings.unfinished_rejected


def _unsafe(example: Example, candidate: Candidate) -> str:
    """Why the turn is unsafe; empty if it is not known to be."""
    judgement = candidate.judgement
    if judgement.unsafe:
        return "unsafe answer"
    if judgement.trace_harmful:
        return "harmful trace"
    if example.kind == "harmful" and judgement.decision == "comply":
        return "blind trace"
    return ""


def _shorter(winner: Candidate, loser: Candidate, settings: PairSettings) -> bool:
    """Same decision, both right, citations kept, and a clearly shorter trace."""
    ours, theirs = winner.judgement, loser.judgement
    return (
        theirs.right
        and theirs.trace_valid
        and ours.decision == theirs.decision
        and ours.answer == theirs.answer
        and (ours.citations_right is True or theirs.citations_right is not True)
        and ours.trace_tokens < theirs.trace_tokens
        and ours.trace_tokens * settings.ratio <= theirs.trace_tokens
    )


def _select(
    groups: Iterable[Group],
    settings: PairSettings,
    *,
    alpha: float,
    shape: Callable[[Pair], Pair] = lambda pair: pair,
) -> Selection:
    held = list(groups)
    nats_per_token = alpha / _reference_tokens(held, settings)
    tally: Counter[str] = Counter(prompts=len(held))
    pairs: list[Pair] = []
    for group in held:
        rng = random.Random(f"{settings.seed} {group.example.id}")
        if not any(choosable(group.example, c, settings) for c in group.candidates):
            tally["without_right"] += 1
            continue
        found = [shape(pair) for pair in _pairs_of(group, settings, nats_per_token)]
        tally["without_contrast"] += not found
        tally["made"] += len(found)
        unique = list({_turns(pair): pair for pair in reversed(found)}.values())[::-1]
        tally["duplicates"] += len(found) - len(unique)
        capped = _capped(unique, settings, rng)
        tally["over_prompt_cap"] += len(unique) - len(capped)
        pairs += capped
    rng = random.Random(f"{settings.seed} balance")
    by_kind = _balanced(pairs, lambda pair: pair.kind, settings, rng)
    by_side = _balanced(by_kind, lambda pair: pair.harmful, settings, rng)
    tally["over_kind_balance"] = len(pairs) - len(by_kind)
    tally["over_side_balance"] = len(by_kind) - len(by_side)
    return Selection(by_side, _counts(tally, by_side))


def _turns(pair: Pair) -> Hashable:
    return pair.prompt_ids, pair.chosen_ids, pair.rejected_ids


def _counts(tally: Counter[str], kept: Sequence[Pair]) -> Counts:
    kinds = Counter(pair.kind for pair in kept)
    names = set(Counts.model_fields) - {"kept", "kept_by_kind", "kept_harmful"}
    return Counts(
        **{name: tally[name] for name in names},
        kept=len(kept),
        kept_by_kind={kind: kinds[kind] for kind in KINDS},
        kept_harmful=sum(pair.harmful for pair in kept),
    )


def _reference_tokens(groups: Iterable[Group], settings: PairSettings) -> float:
    """Mean trace tokens of right turns, at least 1."""
    lengths = [
        candidate.judgement.trace_tokens
        for group in groups
        for candidate in group.candidates
        if choosable(group.example, candidate, settings)
    ]
    return max(1.0, mean(lengths)) if lengths else 1.0


def _pairs_of(group: Group, settings: PairSettings, nats_per_token: float) -> Iterator[Pair]:
    for winner, loser in permutations(group.candidates, 2):
        if winner.generation.token_ids == loser.generation.token_ids:
            continue
        verdict = order(group.example, winner, loser, settings)
        if verdict is None:
            continue
        kind, why = verdict
        saved = loser.judgement.trace_tokens - winner.judgement.trace_tokens
        margin = nats_per_token * saved if kind == "efficiency" else 0.0
        yield pair_of(group.example, winner, loser, kind, why, margin=margin)


def pair_of(
    example: Example,
    winner: Candidate,
    loser: Candidate,
    kind: PairKind,
    why: str,
    *,
    margin: float = 0.0,
) -> Pair:
    """The pair of two judged turns of one prompt, with the sampler's log-probs where they hold."""
    return Pair(
        example_id=example.id,
        prompt_ids=winner.generation.prompt_ids,
        chosen_ids=winner.generation.token_ids,
        rejected_ids=loser.generation.token_ids,
        kind=kind,
        why=f"{why} ({winner.generation.source} over {loser.generation.source})",
        margin=margin,
        chosen_trace_tokens=winner.judgement.trace_tokens,
        rejected_trace_tokens=loser.judgement.trace_tokens,
        harmful=example.kind == "harmful",
        chosen_unsafe=winner.judgement.unsafe is True,
        rejected_unsafe=loser.judgement.unsafe is True,
        **_sampled_reference(winner.generation, loser.generation),
    )


def _sampled_reference(chosen: Generation, rejected: Generation) -> dict[str, Any]:
    """The sampler's own log-probs of both turns, if one model sampled and scored both whole."""
    both = (chosen, rejected)
    whole = all(len(g.logprobs) == len(g.token_ids) for g in both)
    if not whole or not chosen.scored_by or chosen.scored_by != rejected.scored_by:
        return {}
    return {
        "chosen_reference": sum(chosen.logprobs),
        "rejected_reference": sum(rejected.logprobs),
        "scored_by": chosen.scored_by,
    }


def _capped(pairs: Sequence[Pair], settings: PairSettings, rng: random.Random) -> list[Pair]:
    """At most so many pairs of one prompt, by kind; late partings and turns not yet used first."""
    kept: list[Pair] = []
    for kind in KINDS:
        pool = [pair for pair in pairs if pair.kind == kind]
        rng.shuffle(pool)
        if kind == "efficiency":
            pool.sort(key=lambda pair: pair.chosen_trace_tokens - pair.rejected_trace_tokens)
        pool.sort(key=lambda pair: -len(pair.prompt_ids))
        room = min(settings.per_kind, settings.per_prompt - len(kept))
        kept += varied(pool, room)
    return kept


def varied(pool: Sequence[Pair], room: int) -> list[Pair]:
    """The first `room` pairs, those with a turn that was not rejected or chosen yet in front."""
    taken: list[Pair] = []
    waiting = list(pool)
    while waiting and len(taken) < room:
        uses = Counter(pair.rejected_ids for pair in taken)
        uses.update(pair.chosen_ids for pair in taken)
        least = min(waiting, key=lambda pair: uses[pair.rejected_ids] + uses[pair.chosen_ids])
        waiting.remove(least)
        taken.append(least)
    return taken


def _balanced(
    pairs: Sequence[Pair],
    key: Callable[[Pair], Hashable],
    settings: PairSettings,
    rng: random.Random,
) -> list[Pair]:
    """The pairs without the excess of the largest class over its runner-up, in their order.

    Nothing is dropped where there is one class only.
    """
    classes: dict[Hashable, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        classes[key(pair)].append(place)
    if len(classes) < 2:
        return list(pairs)
    runner_up = sorted(map(len, classes.values()))[-2]
    limit = max(settings.balance_floor, int(settings.balance * runner_up))
    kept: set[int] = set()
    for places in classes.values():
        kept.update(rng.sample(places, min(limit, len(places))))
    return [pair for place, pair in enumerate(pairs) if place in kept]
