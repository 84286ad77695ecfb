"""The gate before every speed of sampling: both sides say the same, or there is no number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exante.bench.sampling_lab import Prompts, SamplingLab, own_setup
from exante.bench.sampling_request import GenerateSettings, Turn
from exante.bench.spec import Described
from exante.errors import RunError
from exante.records import read_jsonl, write_jsonl

LOGPROB_TOLERANCE = 1e-3
MOST_ERRORS = 4.0
"""Standard errors by which two means of the same distribution may differ."""


class Agreement(Described):
    """How far both sides are from each other on one workload, in float32."""

    greedy_prompts: int
    greedy_tokens: int
    """Tokens of their greedy turns."""
    greedy_kinds: int
    """Different tokens among them: many equal ones would prove little."""
    greedy_equal: int
    """Prompts on which both sides gave the same turn."""
    logprob_turns: int
    logprob_difference: float
    """Mean over our tokens of how far the sum of a turn is from a forward pass, in nats."""
    logprob_size: float
    """The mean log-prob of one of these tokens, to read the difference against, in nats."""
    tokens_per_turn: tuple[float, float] | None = None
    """Ours and theirs, sampled; None: the workload is greedy, and all was compared above."""
    tokens_errors: float | None = None
    """Their distance in standard errors."""
    nats_per_turn: tuple[float, float] | None = None
    """Mean log-prob of a turn by a forward pass, ours and theirs: of one distribution, or not."""
    nats_errors: float | None = None


def check(lab: SamplingLab, prompts: Prompts) -> Agreement:
    """Compare greedy turns, our log-probs, and lengths and log-probs of sampled turns.

    Raises:
        RunError: they disagree; speed is not worth measuring then.
    """
    name = f"gate, {prompts.workload}"
    ours, theirs = _greedy(lab, prompts, name)
    greedy = lab.spec.draw(prompts.workload).greedy
    sampled, others = (ours, None) if greedy else _sampled(lab, prompts, name)
    sums = _sums(lab, prompts, name, sampled)
    found = Agreement(
        greedy_prompts=len(theirs),
        greedy_tokens=sum(len(turn.token_ids) for turn in theirs),
        greedy_kinds=len({token for turn in theirs for token in turn.token_ids}),
        greedy_equal=sum(a.token_ids == b.token_ids for a, b in zip(ours, theirs, strict=True)),
        logprob_turns=len(sampled),
        logprob_difference=_logprob_difference(sampled, sums),
        logprob_size=sum(sums) / sum(len(turn.token_ids) for turn in sampled),
    )
    if others is not None:
        their_sums = _sums(lab, prompts, name, others)
        found = _with_distribution(found, (sampled, sums), (others, their_sums))
    gate(found, name)
    return found


def gate(found: Agreement, name: str) -> None:
    """Nothing, if both sides agree.

    Raises:
        RunError: they do not.
    """
    # Written so that a value that is no number fails, too.
    checks = [
        (
            found.greedy_equal == found.greedy_prompts > 0,
            f"greedy turns are equal on {found.greedy_equal} of {found.greedy_prompts} prompts",
        ),
        (
            found.logprob_difference <= LOGPROB_TOLERANCE,
            f"log-probs are {found.logprob_difference:.2g} nats per token from a forward pass",
        ),
    ]
    for what, errors in (("lengths", found.tokens_errors), ("log-probs", found.nats_errors)):
        if errors is not None:
            told = f"mean {what} of sampled turns are {errors:.1f} standard errors apart"
            checks.append((errors <= MOST_ERRORS, told))
    wrong = [message for held, message in checks if not held]
    if wrong:
        raise RunError(
            f"exante and generate do not sample the same: {'; '.join(wrong)}",
            where=name,
            fix="no speed is measured before they agree",
        )


def standard_errors(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Distance of two means over the same prompts, in standard errors of their difference.

    A pair per prompt: turns of one prompt are alike, and counting each would flatter the error.
    """
    apart = np.subtract(ours, theirs)
    distance = abs(float(apart.mean()))
    if distance == 0:
        return 0.0
    error = float(apart.std(ddof=1)) / math.sqrt(len(apart)) if len(apart) > 1 else 0.0
    return distance / error if error else math.inf


def _greedy(lab: SamplingLab, prompts: Prompts, name: str) -> tuple[list[Turn], list[Turn]]:
    draw = lab.spec.draw(prompts.workload).model_copy(update={"n": 1, "greedy": True})
    size = 1 if draw.alone else lab.spec.gate_prompts
    ours, theirs = _files(lab, prompts, "greedy")
    for path, setup in ((ours, None), (theirs, GenerateSettings(prompts_per_call=size))):
        how = own_setup(lab.spec, precision="float32", generate=setup)
        lab.sample(name, prompts, how, draw=draw, first=lab.spec.gate_prompts, turns=path)
    return read_jsonl(ours, Turn), read_jsonl(theirs, Turn)


def _sampled(lab: SamplingLab, prompts: Prompts, name: str) -> tuple[list[Turn], list[Turn]]:
    ours, theirs = _files(lab, prompts, "sampled")
    settings = GenerateSettings(prompts_per_call=lab.spec.default_call, by_length=True)
    for path, setup in ((ours, None), (theirs, settings)):
        how = own_setup(lab.spec, precision="float32", generate=setup)
        lab.sample(name, prompts, how, turns=path)
    return read_jsonl(ours, Turn), read_jsonl(theirs, Turn)


def _files(lab: SamplingLab, prompts: Prompts, kind: str) -> tuple[Path, Path]:
    start = f"{prompts.workload}-{kind}"
    return lab.work / f"{start}-ours.jsonl", lab.work / f"{start}-theirs.jsonl"


def _sums(lab: SamplingLab, prompts: Prompts, name: str, turns: Sequence[Turn]) -> list[float]:
    path = lab.work / f"{prompts.workload}-scored.jsonl"
    write_jsonl(path, turns)
    return lab.score(name, prompts, path)


def _logprob_difference(turns: Sequence[Turn], sums: Sequence[float]) -> float:
    apart = tokens = 0.0
    for turn, whole in zip(turns, sums, strict=True):
        if turn.logprobs is None or len(turn.logprobs) != len(turn.token_ids):
            return math.nan
        apart += abs(sum(turn.logprobs) - whole)
        tokens += len(turn.token_ids)
    return apart / tokens


def _with_distribution(
    found: Agreement,
    ours: tuple[Sequence[Turn], Sequence[float]],
    theirs: tuple[Sequence[Turn], Sequence[float]],
) -> Agreement:
    lengths, nats = [], []
    for turns, sums in (ours, theirs):
        lengths.append(_by_prompt(turns, [float(len(turn.token_ids)) for turn in turns]))
        nats.append(_by_prompt(turns, sums))
    return found.model_copy(
        update={
            "tokens_per_turn": (float(np.mean(lengths[0])), float(np.mean(lengths[1]))),
            "tokens_errors": standard_errors(*lengths),
            "nats_per_turn": (float(np.mean(nats[0])), float(np.mean(nats[1]))),
            "nats_errors": standard_errors(*nats),
        }
    )


def _by_prompt(turns: Sequence[Turn], values: Sequence[float]) -> list[float]:
    """Mean value of each prompt's turns, in the prompts' order."""
    found: dict[int, list[float]] = {}
    for turn, value in zip(turns, values, strict=True):
        found.setdefault(turn.prompt, []).append(value)
    return [float(np.mean(found[place])) for place in sorted(found)]
