"""Mixes of files: what is taken of each, that it is always the same, and every fault's place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from exante.errors import InputError
from exante.stages.base import Inputs
from exante.stages.mix import identity_of, mixed, portions_of
from exante.stages.source import STAGE, SourceConfig


def rows(path: Path, prompts: Sequence[str], **fields: Any) -> Path:
    text = "\n".join(json.dumps({"prompt": prompt, **fields}) for prompt in prompts)
    path.write_text(text + "\n")
    return path


def mix(folder: Path, *portions: dict[str, Any]) -> str:
    path = folder / "mix.yaml"
    path.write_text(yaml.safe_dump({"portions": list(portions)}))
    return str(path)


def test_every_portion_is_read_its_own_way_and_accounted_for(tmp_path: Path) -> None:
    rows(tmp_path / "bad.jsonl", ["rob a bank", "forge a coin"])
    (tmp_path / "mixed.csv").write_text("ask,label\none,safe\ntwo,unsafe\nthree,safe\n")
    rows(tmp_path / "good.jsonl", ["bake bread", "sing a song", "draw a cat"])
    found = mixed(
        portions_of(
            mix(
                tmp_path,
                {"data": "bad.jsonl", "kind": "harmful", "licence": "MIT"},
                {"data": "mixed.csv", "columns": {"prompt": "ask"}, "only": ["borderline"]},
                {"data": "good.jsonl", "limit": 2},
            ),
            {},
        )
    )
    kinds = [(a.licence, a.rows, a.kinds, a.left_out) for a in found.accounts]
    assert kinds == [
        ("MIT", 2, {"harmful": 2}, {}),
        (None, 3, {"borderline": 2}, {"not borderline": 1}),
        (None, 3, {"benign": 2}, {"over the limit": 1}),
    ]
    assert [e.prompt for e in found.examples][:4] == ["rob a bank", "forge a coin", "one", "three"]


def test_a_limit_takes_the_same_prompts_whatever_else_the_file_holds(tmp_path: Path) -> None:
    prompts = [f"prompt number {i}" for i in range(40)]

    def chosen(order: Sequence[str], limit: int) -> set[str]:
        path = rows(tmp_path / "x.jsonl", order)
        (portion,) = portions_of(str(path), {"limit": limit})
        return {example.prompt for example in mixed([portion]).examples}

    few, many = chosen(prompts, 7), chosen(prompts[::-1], 15)
    assert len(few) == 7
    assert len(many) == 15
    assert few < many


def test_rows_of_one_prompt_stay_together(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.jsonl", ["twice told", "alone", "Twice  told", "twice told"])
    sizes = {}
    for limit in (1, 2, 3, 4):
        (portion,) = portions_of(str(path), {"limit": limit})
        sizes[limit] = sorted(e.prompt.lower() for e in mixed([portion]).examples)
    assert sizes[1] == sizes[2] == ["alone"]
    assert len(sizes[3]) in (1, 3)
    assert len(sizes[4]) == 4


def test_portions_for_one_split_and_a_prompt_that_two_want(tmp_path: Path) -> None:
    rows(tmp_path / "held.jsonl", ["shared", "held out"])
    rows(tmp_path / "own.jsonl", ["shared", "taught"])
    data = mix(
        tmp_path, {"data": "own.jsonl", "split": "train"}, {"data": "held.jsonl", "split": "test"}
    )
    summary = STAGE.run(SourceConfig(data=data), Inputs({}), out(tmp_path), lambda *_: None)
    assert (summary["train"], summary["validation"], summary["test"]) == (1, 0, 3)
    assert "taught" in (tmp_path / "out/train.jsonl").read_text()


def test_near_duplicates_of_a_suite_are_left_out(tmp_path: Path) -> None:
    suite = rows(tmp_path / "suite.jsonl", ["Describe how a lock on a door is picked by a thief"])
    rows(tmp_path / "x.jsonl", ["Describe how a lock on the door is picked by a thief", "Hello"])
    found = mixed(portions_of(mix(tmp_path, {"data": "x.jsonl", "without": [str(suite)]}), {}))
    assert [e.prompt for e in found.examples] == ["Hello"]
    assert found.accounts[0].left_out == {"near-duplicates of a suite's prompts": 1}


def test_the_key_follows_files_and_wishes(tmp_path: Path) -> None:
    rows(tmp_path / "x.jsonl", ["a", "b"])
    plain = identity_of(portions_of(mix(tmp_path, {"data": "x.jsonl"}), {}))
    again = identity_of(portions_of(mix(tmp_path, {"data": "x.jsonl"}), {}))
    narrower = identity_of(portions_of(mix(tmp_path, {"data": "x.jsonl", "limit": 1}), {}))
    rows(tmp_path / "x.jsonl", ["a", "c"])
    other = identity_of(portions_of(mix(tmp_path, {"data": "x.jsonl"}), {}))
    assert plain == again
    assert len({json.dumps(key, sort_keys=True) for key in (plain, narrower, other)}) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("portions: []\n", r"mix\.yaml:1: portions: .*at least 1"),
        ("portions:\n  - {data: x.jsonl}\n  - {data: x.jsonl}\n", r"'x\.jsonl' stands in two"),
        ("portions:\n  - {data: x.jsonl, limt: 3}\n", r"mix\.yaml:2: portions\.0\.limt: "),
        ("portions:\n  - data: x.jsonl\n    kind: evil\n", r"mix\.yaml:3: portions\.0\.kind: "),
        ("- x.jsonl\n", r"mix\.yaml: holds no mapping"),
        ("portions: [\n", r"mix\.yaml:\d: is no YAML"),
        ("portions:\n  - {data: none.jsonl}\n", r"none\.jsonl: cannot be read"),
        ("portions:\n  - {data: x.jsonl, only: [harmful]}\n", r"x\.jsonl: holds no prompts"),
    ],
)
def test_faults_are_located(tmp_path: Path, text: str, message: str) -> None:
    rows(tmp_path / "x.jsonl", ["a"])
    (tmp_path / "mix.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        mixed(portions_of(str(tmp_path / "mix.yaml"), {}))


def test_a_mix_says_all_itself(tmp_path: Path) -> None:
    rows(tmp_path / "x.jsonl", ["a"])
    config = SourceConfig(data=mix(tmp_path, {"data": "x.jsonl"}), kind="harmful")
    with pytest.raises(InputError, match="kind stands beside a mix"):
        STAGE.run(config, Inputs({}), out(tmp_path), lambda *_: None)


def out(folder: Path) -> Path:
    made = folder / "out"
    made.mkdir(exist_ok=True)
    return made


@pytest.mark.parametrize(
    "settings",
    [
        {"data": "miniature", "kind": "harmful"},
        {"model": "miniature", "column": "ask"},
        {"data": "miniature", "prefers": "safer"},
    ],
)
def test_wishes_for_files_are_refused_where_there_is_none(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="is said of files; miniature is none"):
        SourceConfig(**settings)
