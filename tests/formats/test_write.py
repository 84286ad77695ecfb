"""What is written is read back as it was, and what does not fit is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_rows import ASK, PKU, ROWS, SAFE, UNSAFE

from exante.formats import FORMATS, Reading, known_format, read_row
from exante.formats.base import Preference
from exante.formats.write import WRITERS, Target, written
from exante.records import Example

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=9)
FLAG = st.none() | st.booleans()
LEVEL = st.sampled_from([0, 1, 2, 3])
PLACE = st.none() | st.sampled_from([0, 1])
PKU_ROWS = st.fixed_dictionaries(
    {
        "prompt": TEXT,
        "response_0": TEXT,
        "response_1": TEXT,
        "is_response_0_safe": FLAG,
        "is_response_1_safe": FLAG,
        "better_response_id": PLACE,
        "safer_response_id": PLACE,
    }
)


def example(row: dict[str, Any], name: str, prefers: Preference = "better") -> Example:
    return read_row(known_format(name), Path("x"), 1, 1, row, Reading(prefers=prefers)).example


@given(row=PKU_ROWS, severities=st.none() | st.tuples(LEVEL, LEVEL))
def test_pku_rows_come_back_as_they_were(
    row: dict[str, Any], severities: tuple[int, int] | None
) -> None:
    for place, severity in enumerate(severities or ()):
        row[f"response_{place}_severity_level"] = severity
        row[f"is_response_{place}_safe"] = severity == 0
    assert written([example(row, "pku")], "pku", "better").rows == [row]


def test_a_cost_that_is_no_severity_is_not_written_as_one() -> None:
    row = {**ROWS["pku"], "response_0_severity_level": 1.5, "response_1_severity_level": 2}
    (made,) = written([example(row, "pku")], "pku", "better").rows
    assert not any("severity" in name for name in made)


@pytest.mark.parametrize("name", list(FORMATS))
def test_our_own_records_come_back_as_they_were(name: str) -> None:
    before = example(ROWS[name], name)
    (row,) = written([before], "examples", "better").rows
    assert example(row, "examples") == before


@pytest.mark.parametrize(
    ("name", "prefers", "kind"),
    [
        ("pku", "better", "preference"),
        ("pku", "safer", "preference"),
        ("hh", "better", "preference"),
        ("preference", "safer", "preference"),
        ("unpaired", "better", "unpaired"),
        ("beavertails", "safer", "unpaired"),
        ("answer", "better", "answer"),
        ("conversation", "better", "answer"),
        ("prompts", "better", "prompts"),
    ],
)
def test_trl_rows_are_read_back_with_the_same_meaning(
    name: str, prefers: Preference, kind: str
) -> None:
    before = example(ROWS[name], name, prefers)
    (row,) = written([before], "trl", prefers).rows
    after = example(row, kind, prefers)
    assert after.messages == before.messages
    chosen = {"better": before.better, "safer": before.safer}[prefers] or 0
    assert after.responses[:1] == () or after.responses[0].text == before.responses[chosen].text
    assert len(after.responses) == len(before.responses)


def test_the_preference_that_is_asked_for_is_written() -> None:
    rows = {
        prefers: written([example(PKU, "pku")], "trl", prefers).rows[0]["chosen"][0]["content"]
        for prefers in ("better", "safer")
    }
    assert rows == {"better": UNSAFE, "safer": SAFE}


def test_the_best_answer_is_preferred_to_each_other_one() -> None:
    completions = [{"response": text, "overall_score": n} for n, text in enumerate("abc")]
    row = {"instruction": "x", "completions": completions}
    found = written([example(row, "ultrafeedback")], "trl", "better").rows
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in found] == [
        ("c", "a"),
        ("c", "b"),
    ]


@pytest.mark.parametrize(
    ("name", "target", "reason"),
    [
        ("beavertails", "pku", "not two responses"),
        ("hh", "pku", "a prompt of several turns"),
        ("pku_pairs", "trl", "no label says which response is more useful"),
    ],
)
def test_what_does_not_fit_is_counted(name: str, target: Target, reason: str) -> None:
    found = written([example(ROWS[name], name)], target, "better")
    assert (found.rows, dict(found.left)) == ([], {reason: 1})


def test_a_file_has_one_type() -> None:
    mixed = [example(PKU, "pku"), example(ROWS["answer"], "answer")]
    found = written(mixed, "trl", "better")
    assert (found.type, len(found.rows), dict(found.left)) == (
        "preference",
        1,
        {"no preference": 1},
    )
    assert found.rows[0]["prompt"][0]["content"] == ASK
    assert set(WRITERS) == {"examples", "trl", "pku"}
