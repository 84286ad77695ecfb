"""The least arithmetic, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from exante.bench.floor import Work, least_work, linears, step_flops
from exante.bench.spec import PRESETS, Shape
from exante.records import Pair

SHAPE = Shape(layers=1, hidden=8, heads=2, key_value_heads=1, intermediate=16, vocabulary=64)


def pair(chosen: int, rejected: int, prompt: int = 3) -> Pair:
    return Pair(
        example_id="a",
        prompt_ids=tuple(range(prompt)),
        chosen_ids=(1,) * chosen,
        rejected_ids=(2,) * rejected,
        kind="safety",
        why="test",
    )


def test_a_prompt_counts_once_and_last_tokens_do_not_run() -> None:
    work = least_work([[pair(4, 6)]])
    assert work.run == 3 + 3 + 5
    assert work.scored == 10
    assert work.seen == 9 / 2 + 3 * (3 + 1.5) + 5 * (3 + 2.5)


def test_a_response_counts_once_however_many_pairs_use_it() -> None:
    work = least_work([[pair(4, 6), pair(4, 5)]])
    assert (work.run, work.scored) == (3 + 3 + 5 + 4, 4 + 6 + 5)


def test_batches_share_nothing() -> None:
    assert least_work([[pair(4, 6)], [pair(4, 6)]]).run == 2 * 11


def test_flops_by_hand() -> None:
    layer = 2 * 8 * 8 + 2 * 8 * 4 + 3 * 8 * 16
    assert sum(m.parameters for m in linears(SHAPE) if not m.scored_only) == layer
    expected = 6 * layer * 11 + 6 * 8 * 64 * 10 + 12 * 8 * 45.5
    assert step_flops(SHAPE, Work(run=11, scored=10, seen=45.5)) == pytest.approx(expected)


def test_the_cpu_preset_has_seven_million_parameters() -> None:
    assert sum(m.parameters for m in linears(PRESETS["cpu"].shape)) == pytest.approx(
        7.4e6, rel=0.01
    )
