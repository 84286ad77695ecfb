"""Random but seeded pairs, the same for every arm; lengths matter here, words do not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

from exante.bench.spec import TrainingSpec
from exante.models.packed import Group, grouped
from exante.preferences import KINDS
from exante.records import Pair

PAD, EOS, FIRST_WORD = 0, 1, 8
"""Token ids of the random models; words start at `FIRST_WORD`."""


def make_batches(spec: TrainingSpec) -> list[list[Pair]]:
    """Warm-up batches and then the timed ones; the same spec gives the same pairs.

    Warm-up runs the timed batches themselves, over and over if there is more of it: compilers and
    kernel libraries then know every shape on both sides, as they do from the second epoch on.
    """
    rng = random.Random(f"pairs {spec.seed}")
    size = spec.groups_per_batch
    groups = [_group(spec, rng) for _ in range(size * spec.batches)]
    if spec.length_grouped:
        # As exante's own batches are; TRL's rows are nearly as well sorted by it.
        groups.sort(key=lambda group: group.tokens)
    batches = [groups[first : first + size] for first in range(0, len(groups), size)]
    rng.shuffle(batches)
    timed = [
        [pair for place, group in enumerate(batch) for pair in _pairs(f"{number}-{place}", group)]
        for number, batch in enumerate(batches)
    ]
    return [*islice(cycle(timed), spec.warmup), *timed]


def cut(
    pairs: Sequence[Pair], spec: TrainingSpec, pairs_per_batch: int
) -> tuple[list[list[Pair]], int]:
    """The same pairs in batches of another size, and how many of these are warm-up.

    The timed pairs are exactly those of the spec; warm-up is repeated to fill its last batch.
    """
    border, steps = spec.warmup * spec.batch_pairs, warmup_steps(spec, pairs_per_batch)
    before = list(islice(cycle(pairs[:border]), steps * pairs_per_batch))
    timed = list(pairs[border:])
    return [*_chunks(before, pairs_per_batch), *_chunks(timed, pairs_per_batch)], steps


def warmup_steps(spec: TrainingSpec, pairs_per_batch: int) -> int:
    """Batches of that size that hold at least the spec's warm-up pairs."""
    return -(-spec.warmup * spec.batch_pairs // pairs_per_batch)


def tokens(pairs: Sequence[Pair]) -> int:
    """Tokens of all pairs as two rows each."""
    return sum(2 * len(p.prompt_ids) + len(p.chosen_ids) + len(p.rejected_ids) for p in pairs)


def groups_of(pairs: Sequence[Pair]) -> list[Group]:
    """The prompts of a batch with each unique response once, in order of appearance."""
    rows = ((p.prompt_ids, side) for p in pairs for side in (p.chosen_ids, p.rejected_ids))
    return grouped(rows)


def _chunks(pairs: list[Pair], size: int) -> Iterator[list[Pair]]:
    return (pairs[first : first + size] for first in range(0, len(pairs), size))


def _group(spec: TrainingSpec, rng: random.Random) -> Group:
    def words(count: int) -> tuple[int, ...]:
        return tuple(rng.choices(range(FIRST_WORD, spec.shape.vocabulary), k=count))

    prompt = words(rng.randint(*spec.prompt_tokens))
    lengths = [rng.randint(*spec.response_tokens) for _ in range(spec.responses)]
    return Group(prompt, tuple((*words(length - 1), EOS) for length in lengths))


def _pairs(name: str, group: Group) -> list[Pair]:
    best, *others = group.responses
    return [
        Pair(
            example_id=name,
            prompt_ids=group.prompt,
            chosen_ids=best,
            rejected_ids=other,
            kind=KINDS[place % len(KINDS)],
            why="random, for a benchmark",
        )
        for place, other in enumerate(others)
    ]
