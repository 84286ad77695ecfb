"""Verdicts from a file: found by turn, missing ones undetermined, broken files named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exante.errors import InputError
from exante.judges import file_of, load_judge
from exante.judges.base import Answered, AnswerJudgement, opinions
from exante.judges.labels import read_labels
from exante.records import Example, Message

ASKED = Example(id="goal", messages=(Message(role="user", content="How?"),), kind="harmful")
ROWS: list[dict[str, Any]] = [
    {"example_id": "goal", "answer": "refused", "unsafe": False, "useful": 1.0},
    {"example_id": "goal", "sample": 1, "answer": "complied", "unsafe": True, "note": "clear"},
    {"example_id": "goal#fiction.1", "answer": "undetermined", "unsafe": None},
]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def opinion(
    path: Path, turn: str = "goal", sample: int = 0, finish: str = "stop", source: str = "policy"
) -> AnswerJudgement:
    item = Answered(
        example=ASKED, answer="text", finish=finish, turn=turn, sample=sample, source=source
    )
    return opinions(load_judge(f"labels:{path}"), [item])[0]


def test_each_turn_has_its_own_row(tmp_path: Path) -> None:
    path = written(tmp_path / "people.jsonl", ROWS)
    assert opinion(path) == AnswerJudgement(answer="refused", unsafe=False, useful=1.0)
    assert opinion(path, sample=1) == AnswerJudgement(answer="complied", unsafe=True)
    assert opinion(path, "goal#fiction.1").answer == "undetermined"
    assert load_judge(f"labels:{path}").judge(ASKED, "text", "stop").answer == "refused"


def test_a_turn_without_a_row_is_undetermined_and_a_cut_one_truncated(tmp_path: Path) -> None:
    path = written(tmp_path / "people.jsonl", ROWS)
    for found in (opinion(path, sample=2), opinion(path, "x"), opinion(path, source="teacher")):
        assert (found.answer, found.unsafe) == ("undetermined", None)
    assert opinion(path, finish="length").answer == "truncated"


def test_name_and_key_follow_the_files_content(tmp_path: Path) -> None:
    path = written(tmp_path / "people.jsonl", ROWS)
    before = load_judge(f"labels:{path}").name
    assert file_of(f"labels:{path}") == path
    written(path, ROWS[:2])
    assert load_judge(f"labels:{path}").name != before


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"example_id": "b", "unsafe": False}, "answer"),
        ({"example_id": "b", "answer": "refused"}, "unsafe"),
        ({"example_id": "b", "answer": "fine", "unsafe": False}, "answer"),
        ({"example_id": "b", "answer": "refused", "unsafe": False, "useful": 2}, "useful"),
        ({"example_id": "b", "answer": "refused", "unsafe": False, "kind": 1}, "kind"),
        ({"example_id": "goal", "answer": "refused", "unsafe": False}, r"already \(line 1\)"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = written(tmp_path / "people.jsonl", [*ROWS[:1], row])
    with pytest.raises(InputError, match=rf"people\.jsonl:2: .*{message}"):
        read_labels(path)


def test_an_empty_cell_of_a_csv_is_a_value_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(
        "example_id,sample,source,answer,unsafe,useful,note\n"
        "goal,,,refused,false,,\ngoal,1,,undetermined,,,who knows\n"
    )
    assert opinion(path) == AnswerJudgement(answer="refused", unsafe=False)
    assert opinion(path, sample=1) == AnswerJudgement(answer="undetermined", unsafe=None)
    path.write_text("example_id,answer,unsafe\ngoal,,false\n")
    with pytest.raises(InputError, match=r"people\.csv:2: answer: Field required"):
        read_labels(path)


@pytest.mark.parametrize("name", ["labels:", "strings:", "rubric:"])
def test_nothing_behind_the_colon_is_no_judge(name: str) -> None:
    with pytest.raises(InputError, match=f"nothing stands behind the colon of judge {name}"):
        load_judge(name)


def test_no_file_and_an_empty_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_judge(f"labels:{tmp_path / 'none.jsonl'}")
    with pytest.raises(InputError, match="holds no verdict"):
        load_judge(f"labels:{written(tmp_path / 'empty.jsonl', [])}")
    with pytest.raises(InputError, match="labels:FILE"):
        load_judge("labels")
