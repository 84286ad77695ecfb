"""Rows of every kind of table, with the line each begins at."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.errors import InputError
from exante.rows import Fault, read_rows, sha256_of, sift_rows

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), max_size=5)


@given(rows=ROWS, indent=st.sampled_from([None, 0, 2]))
def test_a_json_list_is_read_as_written(
    rows: list[dict[str, Any]], indent: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "x.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert [row for _, row in read_rows(path)] == rows


@given(rows=ROWS)
def test_json_lines_may_stand_in_a_json_file(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "x.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(read_rows(path)) == list(enumerate(rows, start=1))


def test_items_of_a_list_know_the_line_they_begin_at(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('\n[\n  {"a": 1,\n   "b": 2},\n\n  {"a": 3}, {"a": 4}\n]\n')
    assert list(read_rows(path)) == [(3, {"a": 1, "b": 2}), (6, {"a": 3}), (6, {"a": 4})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1},\n {"a": }]', r"x\.json:2: no valid JSON"),
        ('[{"a": 1}\n {"a": 2}]', r"x\.json:1: no valid JSON"),
        ('[{"a": 1},\n', r"x\.json:2: no valid JSON"),
        ('[{"a": 1}', r"x\.json:1: no valid JSON"),
        ('[{"a": 1}] [', r"x\.json:1: no valid JSON"),
        ('[{"a": 1},\n"text"]', r"x\.json:2: not a JSON object"),
        ('{"a":\n', r"x\.json:1: no valid JSON"),
        ('[{"a": 1},\n{"a": 1, "b": 2, "a": 1}]', r"x\.json:2: key 'a' stands twice"),
        ('{"a": 1}\n{"b": {"c": 1, "d": 2, "d": 3}}', r"x\.json:2: key 'd' stands twice"),
    ],
)
def test_faults_of_a_list_are_located(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        list(read_rows(path))


@pytest.mark.parametrize("name", ["a\0b.csv", "a\0b.jsonl", "a\0b.json.gz", "a\0b.parquet"])
def test_a_name_that_no_file_can_have_is_told(name: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(read_rows(Path(name)))
    with pytest.raises(InputError, match="cannot be read: embedded null byte"):
        sha256_of(Path(name))


@pytest.mark.parametrize("text", ['[{"a": 1, "a": 2},\n{"a": 3}]', '{"a": 1, "a": 2}\n{"a": 3}\n'])
def test_a_key_that_stands_twice_costs_its_own_row_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    (line, fault), rest = sift_rows(path)
    assert line == 1
    assert isinstance(fault, Fault)
    assert fault.text == '{"a": 1, "a": 2}'
    assert rest == (2, {"a": 3})


def test_tabs_and_parquet(tmp_path: Path) -> None:
    tabs = tmp_path / "x.tsv"
    tabs.write_text('a\tb\n1, 2\t"x\ty"\n')
    assert [row for _, row in read_rows(tabs)] == [{"a": "1, 2", "b": "x\ty"}]
    rows = [{"question": "a", "choices": ["x", "y"], "answer": 1}]
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    assert list(read_rows(path)) == [(1, rows[0])]
    path.write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"x\.parquet: cannot be read"):
        list(read_rows(path))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_rows(tmp_path / "none.parquet"))
