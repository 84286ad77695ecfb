"""The closing table says what became of all turns, not only of those that were judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pages.conftest import synthetic

from exante.cli.table import closing_table


def test_turns_that_were_cut_off_not_judged_or_not_parsed_are_always_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = synthetic()
    name, model = next(iter(results.models.items()))
    changed = model.model_copy(
        update={"turns": 917, "truncated": 31, "undetermined": 29, "unparsed": None}
    )
    closing_table(results.model_copy(update={"models": {name: changed}}), Path("runs/x"))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for row in (["All", "917"], ["Cut", "off", "31"], ["Not", "judged", "29"]):
        assert row in lines
    assert ["Unparsed", "traces", "–"] in lines  # noqa: RUF001 (an en dash: no number)
