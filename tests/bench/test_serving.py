"""A small load on a real server; nothing is timed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import tiny_model

from exante.bench.serving import LoadSpec, load
from exante.errors import RunError


def test_no_answer_is_lost_or_mixed_up(tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "tiny"))
    spec = LoadSpec(model=model, requests=40, clients=6, prompts=5, max_tokens=12, rows=2, queue=0)
    found = load(spec)
    assert (found.answered, found.mixed_up, found.lost) == (40, 0, 0)
    assert found.turned_away > 0
    assert found.different == 5
    assert (found.taken_at_shutdown, found.finished_at_shutdown, found.ended_well) == (2, 2, True)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no model"):
        load(LoadSpec(model=str(tmp_path), requests=20))
