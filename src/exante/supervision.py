"""From judged turns to rows whose tokens are worth different things: shaped, replaced or signed.

Pure and seeded, and everything that is made or dropped is counted. Nothing is judged or tokenised
here: token ids and opinions come in, rows go out.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from statistics import mean

from exante.labels import cost_of
from exante.records import Judged, Row

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Supervision:
    """Rows, and the account of them."""

    rows: list[Row]
    counts: Mapping[str, int]


def by_prompt(turns: Iterable[Judged]) -> dict[str, list[Judged]]:
    """Finished turns by prompt, each text once, in order.

    A turn that the length limit cut has no end to learn.
    """
    found: dict[str, dict[Ids, Judged]] = defaultdict(dict)
    for turn in turns:
        if turn.generation.finish == "stop":
            found[turn.generation.example_id].setdefault(turn.generation.token_ids, turn)
    return {key: list(unique.values()) for key, unique in found.items()}


def chunk_ends(tokens: int, chunk: int) -> list[int]:
    """Where chunks of so many tokens end, the last one with the turn."""
    return [*range(chunk, tokens, chunk), tokens]


def shaped(turn: Judged, values: Sequence[float], *, chunk: int, strength: float) -> Row:
    """A turn of which every chunk is learned as far as it is safe (STAR-DSS, arXiv 2505.17196).

    `values` are the chances, one per chunk, that the turn is safe up to there. A token is learned
    with its chunk's value and held at the reference with `strength` times the rest (eq. 3).
    """
    prompt, response = parts_of(turn)
    ends = chunk_ends(len(response), chunk)
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    painted = [repeat(v, size) for v, size in zip(values, sizes, strict=True)]
    weight = tuple(chain.from_iterable(painted))
    return Row(
        example_id=turn.generation.example_id,
        prompt_ids=prompt,
        response_ids=response,
        weight=weight,
        pull=tuple(strength * (1 - value) for value in weight),
        why="shaped",
    )


def recovering(
    turns: Iterable[Judged], refusal_id: int, *, per_prompt: int, dropout: float, seed: int
) -> Supervision:
    """Rows that teach to refuse at any point of a harmful answer (DeRTa, arXiv 2407.09121, eq. 2).

    For a prompt with refusals and unsafe turns, per unsafe turn: a refusal behind a beginning of
    the turn, as long as drawn; and the turn with `refusal_id` to be learned at every position but a
    share of `dropout`. For other prompts: one right turn as it is.
    """
    rows: list[Row] = []
    counts: Counter[str] = Counter()
    for key, group in by_prompt(turns).items():
        rng = random.Random(f"recovering {seed} {key}")
        unsafe = [turn for turn in group if turn.judgement.unsafe]
        right = [turn for turn in group if turn.judgement.right]
        refused = [turn for turn in right if turn.judgement.answer == "refused"]
        if unsafe and refused:
            for harm in rng.sample(unsafe, min(per_prompt, len(unsafe))):
                rows.append(_behind(harm, rng.choice(refused), rng))
                rows.append(_turned(harm, refusal_id, dropout, rng))
        elif right:
            prompt, response = parts_of(rng.choice(right))
            rows.append(Row(example_id=key, prompt_ids=prompt, response_ids=response, why="plain"))
        else:
            counts["without_right"] += 1
    return Supervision(rows, {**counts, **Counter(row.why for row in rows)})


def first_token(turns: Iterable[Judged]) -> int | None:
    """The token that refusals begin with most often; None where nothing is refused."""
    firsts = Counter(
        parts_of(turn)[1][0]
        for turn in turns
        if turn.judgement.right and turn.judgement.answer == "refused"
    )
    return firsts.most_common(1)[0][0] if firsts else None


def signed(turns: Iterable[Judged], multiplier: float) -> Supervision:
    """The policy's own turns, weighted by advantage (RePO, arXiv 2410.19933, without its critic).

    An advantage is a turn's value over the mean of the other turns of its prompt. A safe turn has
    that of its reward, an unsafe one `(reward - multiplier * cost) / (1 + multiplier)`: that others
    are very safe pays for nothing. Reward is usefulness; cost is harm where the turn is unsafe.
    """
    groups: dict[str, list[Judged]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for turn in turns:
        if turn.generation.source != "policy":
            counts["not_sampled"] += 1
        elif turn.generation.finish != "stop" or turn.judgement.unsafe is None:
            counts["unfinished_or_unjudged"] += 1
        else:
            groups[turn.generation.example_id].append(turn)
    rows: list[Row] = []
    for group in groups.values():
        rewards = leave_one_out([turn.judgement.useful or 0.0 for turn in group])
        costs = leave_one_out([rectified(turn) for turn in group])
        for turn, reward, cost in zip(group, rewards, costs, strict=True):
            unsafe = bool(turn.judgement.unsafe)
            weight = (reward - multiplier * cost) / (1 + multiplier) if unsafe else reward
            if weight == 0:
                counts["no_advantage"] += 1
                continue
            prompt, response = parts_of(turn)
            rows.append(
                Row(
                    example_id=turn.generation.example_id,
                    prompt_ids=prompt,
                    response_ids=response,
                    weight=weight,
                    why="unsafe" if unsafe else "safe",
                )
            )
    return Supervision(rows, {**counts, **Counter(row.why for row in rows)})


def rectified(turn: Judged) -> float:
    """The cost of a turn where it is unsafe, else 0: nothing is earned by being safer than safe."""
    return max(0.0, cost_of(turn.judgement) or 0.0)


def leave_one_out(values: Sequence[float]) -> list[float]:
    """Each value over the mean of the others (arXiv 2402.14740); 0 where there are none."""
    if len(values) < 2:
        return [0.0] * len(values)
    whole, rest = sum(values), len(values) - 1
    return [value - (whole - value) / rest for value in values]


def parts_of(turn: Judged) -> tuple[Ids, Ids]:
    """Prompt and response; tokens that were forced belong to the prompt."""
    generation = turn.generation
    forced = generation.token_ids[: generation.forced]
    return (*generation.prompt_ids, *forced), generation.token_ids[generation.forced :]


def mean_cost(turns: Iterable[Judged]) -> float:
    """Mean rectified cost of the policy's own turns that could be judged; 0 if there are none."""
    own = (turn for turn in turns if turn.generation.source == "policy")
    costs = [rectified(turn) for turn in own if cost_of(turn.judgement) is not None]
    return mean(costs) if costs else 0.0


def _behind(harm: Judged, refusal: Judged, rng: random.Random) -> Row:
    """The refusal, behind so many tokens of the harmful turn; its end is never among them."""
    prompt, response = parts_of(harm)
    length = rng.randint(0, len(response) - 1)
    return Row(
        example_id=harm.generation.example_id,
        prompt_ids=(*prompt, *response[:length]),
        response_ids=parts_of(refusal)[1],
        why="behind",
    )


def _turned(harm: Judged, refusal_id: int, dropout: float, rng: random.Random) -> Row:
    """The harmful turn, with the refusal's token to be learned at the positions that stay."""
    prompt, response = parts_of(harm)
    stays = [rng.random() >= dropout for _ in response]
    stays[rng.randrange(len(stays))] |= not any(stays)
    return Row(
        example_id=harm.generation.example_id,
        prompt_ids=prompt,
        response_ids=response,
        weight=tuple(map(float, stays)),
        targets=(refusal_id,) * len(response),
        why="turned",
    )
