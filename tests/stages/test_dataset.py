"""Files of data sets: what fits is used, what does not is kept with its reason."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from tests.data_rows import ASK, PKU, ROWS, STAR, lines, write

from exante.errors import InputError
from exante.formats import Reading
from exante.stages.dataset import all_examples, read_data


def test_bad_rows_never_cost_the_good_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    half = json.dumps({**PKU, "prompt": "\ud800"})
    bad = ['{"prompt": ', "[1]", half, json.dumps({**PKU, "prompt": ""})]
    path.write_text("\n".join([bad[0], json.dumps(PKU), *bad[1:], json.dumps(PKU)]))
    found = read_data(path)
    assert (found.form.name, found.rows, found.lines) == ("pku", 6, [2, 6])
    assert [(r.where, r.problem.split(":")[0]) for r in found.rejected] == [
        (f"{path}:1", "no valid JSON"),
        (f"{path}:3", "not a JSON object"),
        (f"{path}:4", "holds half a character (a lone surrogate)"),
        (f"{path}:5: prompt", "the prompt is empty"),
    ]
    assert found.rejected[0].row == bad[0]
    assert found.rejected[3].row == {**PKU, "prompt": ""}


@pytest.mark.parametrize(
    ("name", "text", "kept", "problem"),
    [
        ("x.csv", 'prompt,response,is_safe\na,b,1\na,b\n"c",d,0\n', 2, "another number of columns"),
        ("x.csv", 'prompt,response,is_safe\na,b,1\n"c,d,0\n', 1, "no valid CSV"),
        ("x.json", f"[{json.dumps(PKU)}, 3, {json.dumps(STAR)}]", 1, "not a JSON object"),
        ("x.json", f"[{json.dumps(PKU)}, {{]", 1, "no valid JSON"),
    ],
)
def test_faults_of_every_kind_of_table(
    tmp_path: Path, name: str, text: str, kept: int, problem: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = read_data(path)
    assert len(found.examples) == kept
    assert problem in found.rejected[0].problem


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_packed_files(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"x.jsonl{ending}", ROWS["hh"])
    if ending == ".xz":
        path.write_bytes(lzma.compress(lines([ROWS["hh"]]).encode()))
    assert read_data(path).form.name == "hh"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        read_data(path)


def test_the_first_known_row_tells_the_format(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", {"nothing": 1}, PKU)
    found = read_data(path)
    assert (found.form.name, found.is_named, len(found.rejected)) == ("pku", False, 1)


def test_columns_are_mapped_and_unread_ones_named(tmp_path: Path) -> None:
    row = {"ask": "Hello?", "good": "Yes.", "bad": "No.", "note": "x"}
    path = write(tmp_path / "x.jsonl", row)
    columns = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    found = read_data(path, columns=columns)
    assert (found.form.name, found.unread) == ("preference", ("note",))
    assert [r.text for r in found.examples[0].responses] == ["Yes.", "No."]
    with pytest.raises(InputError, match=r"--column asked: no column 'asked'"):
        read_data(path, columns={"prompt": "asked"})


def test_a_format_can_be_forced(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", PKU)
    found = read_data(path, form="prompts")
    assert (found.is_named, found.examples[0].responses) == (True, ())
    with pytest.raises(InputError, match="none of 1 rows fits the format hh"):
        read_data(path, form="hh")
    with pytest.raises(InputError, match="did you mean 'pku'"):
        read_data(path, form="pk")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no rows"), ('{"words": 1}\n', "its format is not recognised")],
)
def test_what_cannot_be_recognised(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_data(path)


def test_a_prompt_with_an_unsafe_answer_anywhere_is_harmful_unless_told(tmp_path: Path) -> None:
    safe = {**PKU, "is_response_0_safe": True}
    other = {**safe, "prompt": "What is soup?"}
    path = write(tmp_path / "x.jsonl", safe, other, {**PKU, "prompt": ASK.upper()})
    assert [e.kind for e in read_data(path).examples] == ["harmful", "benign", "harmful"]
    told = read_data(path, how=Reading(kind="borderline"))
    assert {e.kind for e in told.examples} == {"borderline"}


def test_ids_are_unique_and_equal_prompts_share_a_group(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps([PKU, PKU]))
    examples = read_data(path).examples
    assert len({e.id for e in examples}) == 2
    assert len({e.split_group for e in examples}) == 1
    own = write(tmp_path / "own.jsonl", ROWS["examples"], ROWS["examples"])
    found = read_data(own)
    assert (len(found.examples), found.rejected[0].where) == (1, f"{own}:2: id")
    with pytest.raises(InputError, match="stands in two files"):
        all_examples([found, found])


def test_misfits_are_counted(tmp_path: Path) -> None:
    found = read_data(write(tmp_path / "x.jsonl", STAR, STAR))
    assert found.misfits["traces have no verify section: their reasoning cites no clause"] == 2
