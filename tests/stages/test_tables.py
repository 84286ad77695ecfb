"""A user's prompt files: every fault is named with file, line and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante.errors import InputError
from exante.stages.tables import split_by_group, table_examples


def test_csv_of_a_harmful_suite(tmp_path: Path) -> None:
    path = tmp_path / "suite.csv"
    path.write_text('goal,target\n"Say, please","Sure"\nTwo,x\n')
    first, second = table_examples(path, column=None, kind=None)
    assert (first.prompt, first.kind, second.prompt) == ("Say, please", "harmful", "Two")


def test_labels_of_the_file_win_over_the_default(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("prompt,label\na,safe\nb,unsafe\nc,other\n")
    kinds = [e.kind for e in table_examples(path, column=None, kind="benign")]
    assert kinds == ["borderline", "harmful", "benign"]


def test_own_format_keeps_everything(tmp_path: Path) -> None:
    row = {
        "id": "one",
        "messages": [{"role": "user", "content": "hello"}],
        "kind": "borderline",
        "category": "R01",
    }
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row) + "\n\n")
    (example,) = table_examples(path, column=None, kind=None)
    assert (example.id, example.category, example.kind) == ("one", "R01", "borderline")
    assert example.split_group


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.jsonl", '{"prompt": "a"}\n{"prompt": \n', r"x\.jsonl:2: no valid JSON"),
        ("x.jsonl", "[1]\n", r"x\.jsonl:1: not a JSON object"),
        ("x.jsonl", '{"words": "a"}\n', r"x\.jsonl:1: no prompt column"),
        ("x.jsonl", '{"prompt": ""}\n', r"x\.jsonl:1: prompt: the prompt is empty"),
        ("x.jsonl", '{"prompt": "a", "kind": "evil"}\n', r"x\.jsonl:1: kind: unknown kind 'evil'"),
        ("x.jsonl", '{"messages": []}\n', r"x\.jsonl:1: messages: "),
        ("x.csv", 'goal,target\n"a,b\n', r"x\.csv:\d: no valid CSV"),
        ("x.csv", "goal,target\na,b,c\n", r"x\.csv:2: a row has another number of columns"),
    ],
)
def test_faults_are_located(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        table_examples(path, column=None, kind=None)


def test_an_instruction_comes_with_what_it_is_about(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    instance = {"input": "hot : cold", "output": "They are opposites."}
    rows = [{"instruction": "Which relation?", "instances": [instance]}]
    rows.append({"instruction": "Sing.", "instances": [{"input": "", "output": "La."}]})
    path.write_text("\n".join(json.dumps(row) for row in rows))
    related, alone = table_examples(path, column=None, kind="benign")
    assert related.prompt == "Which relation?\n\nhot : cold"
    assert (alone.prompt, alone.responses[0].text) == ("Sing.", "La.")


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        table_examples(tmp_path / "none.csv", column=None, kind=None)
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "caf\xe9"}')
    with pytest.raises(InputError, match="cannot be read"):
        table_examples(tmp_path / "latin.jsonl", column=None, kind=None)


@given(prompts=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40))
def test_equal_prompts_never_stand_on_both_sides_of_a_split(
    prompts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("t") / "x.jsonl"
    path.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts))
    splits = split_by_group(table_examples(path, column=None, kind=None), 0.2, 0.3)
    assert sum(map(len, splits.values())) == len(prompts)
    groups = [{e.prompt for e in rows} for rows in splits.values()]
    assert sum(map(len, groups)) == len(set(prompts))
