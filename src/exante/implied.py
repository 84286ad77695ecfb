"""What models that are aligned to one aim each imply about turns: their log-ratios, as rewards.

DPO makes of a model a reward, `beta * (log pi(y|x) - log pi_ref(y|x))`, up to a constant per prompt
(arXiv 2305.18290, eq. 5). PeCAN (arXiv 2405.19544) takes such rewards in the place of reward and
cost models. Pure; whoever calls has scored the turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

from exante.preferences import Candidate, Group
from exante.records import Example, Record
from exante.selections import Labelled, Valued, is_sample

Turn = tuple[str, tuple[int, ...]]
"""A prompt's id and the tokens of a turn to it."""


class Scores(NamedTuple):
    """Log-probs of a whole turn, in nats."""

    reference: float
    helpful: float
    """Under the model that was aligned to be helpful, whatever the safety."""
    safe: float
    """Under the model that was aligned to be safe, whatever the help."""


class Implied(Record):
    """What the models imply about one turn."""

    example_id: str
    token_ids: tuple[int, ...]
    reward: float
    """`beta` times the log-ratio of the helpful model; 0 is what the reference finds as likely."""
    cost: float
    """How much less safe than the reference's own turns to the same prompt are on average."""


@dataclass(frozen=True, slots=True)
class Worth(Labelled):
    """A turn whose reward and cost are implied. Such costs compare turns and have no zero."""

    @property
    def unsafe(self) -> bool:
        """The judge's word."""
        return self.candidate.judgement.unsafe is True


def implied(
    groups: Iterable[Group], scores: Mapping[Turn, Scores], *, beta: float
) -> list[Implied]:
    """Reward and cost of every scored turn of prompts that the reference has finished turns to.

    A constraint on implied safety can only ask for more of it than the reference has: `E_pi[g] -
    E_ref[g] >= b`, `g = beta log(pi_safe / pi_ref)`. With `c(x, y) = E_ref[g | x] - g(x, y)` it is
    `E_pi[c] <= -b`; `E_ref[g | x] = -beta KL(pi_ref || pi_safe)` is the mean over the samples.
    """
    found: dict[Turn, Implied] = {}
    for group in groups:
        name = group.example.id
        sampled = [c.generation.token_ids for c in group.candidates if is_sample(c)]
        own = [_safety(scores[name, ids]) for ids in sampled if (name, ids) in scores]
        if not own:
            continue
        usual = mean(own)
        for candidate in group.candidates:
            turn = name, candidate.generation.token_ids
            if turn in scores:
                known = scores[turn]
                reward = beta * (known.helpful - known.reference)
                cost = beta * (usual - _safety(known))
                found[turn] = Implied(example_id=name, token_ids=turn[1], reward=reward, cost=cost)
    return list(found.values())


def by_models(known: Iterable[Implied]) -> Valued:
    """What turns are worth by these; of others nothing is known."""
    found = {(one.example_id, one.token_ids): one for one in known}

    def valued(example: Example, candidate: Candidate) -> Labelled | None:
        one = found.get((example.id, candidate.generation.token_ids))
        return None if one is None else Worth(candidate, one.reward, one.cost)

    return valued


def _safety(scores: Scores) -> float:
    return scores.safe - scores.reference
