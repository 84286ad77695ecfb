"""Whole suites become one list of prompts, and every file is accounted for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from tests.suite_files import write_format
from tests.turns import quiet

from exante.errors import InputError
from exante.records import Example, read_jsonl
from exante.stages.base import Inputs, perform
from exante.stages.collect import STAGE, CollectConfig, collected
from exante.stages.prompts import EXAMPLES


def make(out: Path, config: CollectConfig) -> list[Example]:
    perform(STAGE, config, Inputs({}), out, quiet)
    return read_jsonl(out / EXAMPLES, Example)


def test_all_prompts_of_all_suites_are_taken_and_pinned(tmp_path: Path) -> None:
    harm = write_format(tmp_path, "harmbench")
    numbers = write_format(tmp_path, "gsm8k")
    mine = tmp_path / "mine.jsonl"
    mine.write_text("".join(json.dumps({"question": f"What is {i}?"}) + "\n" for i in range(40)))
    suites = (f"harmbench={harm}", f"gsm8k={numbers}", str(mine))
    examples = make(tmp_path / "out", CollectConfig(suites=suites, kind="borderline"))
    assert Counter(e.source for e in examples) == {"harmbench": 3, "gsm8k": 2, "mine": 40}
    assert {e.kind for e in examples if e.source == "mine"} == {"borderline"}
    told = json.loads((tmp_path / "out/source.json").read_text())["suites"]
    assert [(one["label"], one["licence"], one["prompts"]) for one in told] == [
        ("harmbench", "MIT", 3),
        ("gsm8k", "MIT", 2),
        ("mine", "unknown", 40),
    ]
    assert [one["sha256"] for one in told] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (harm, numbers, mine)
    ]
    notes = json.loads((tmp_path / "out/stage.json").read_text())["summary"]["notes"]
    assert "Rows left out: 1 copyright." in notes[0]
    assert "3 harmful" in notes[0]


def test_a_changed_file_is_another_artefact(tmp_path: Path) -> None:
    path = write_format(tmp_path, "xstest")
    config = CollectConfig(suites=(f"xstest={path}",))
    make(tmp_path / "out", config)
    path.write_text(path.read_text().replace("process", "program"))
    with pytest.raises(InputError, match="outside"):
        make(tmp_path / "out", config)


def test_a_limit_holds_for_each_kind_over_all_suites_and_follows_the_seed(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{kind} {i}", "kind": kind} for kind in ("harmful", "benign") for i in range(30)
    ]
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suites = (str(tmp_path / "one.jsonl"), str(tmp_path / "two.jsonl"))
    drawn = [
        make(tmp_path / f"out{i}", CollectConfig(suites=suites, limit=8, seed=seed))
        for i, seed in enumerate((0, 0, 1))
    ]
    assert all(Counter(e.kind for e in d) == {"harmful": 8, "benign": 8} for d in drawn)
    assert drawn[0] == drawn[1] != drawn[2]
    assert {e.source for e in drawn[0]} == {"one", "two"}
    told = json.loads((tmp_path / "out0/source.json").read_text())["suites"]
    assert sum(one["prompts"] for one in told) == 16
    assert [one["available"] for one in told] == [60, 60]
    notes = json.loads((tmp_path / "out0/stage.json").read_text())["summary"]["notes"]
    assert f"one: {told[0]['prompts']} of 60 prompts" in notes[0]


def test_what_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    path = write_format(tmp_path, "xstest")
    with pytest.raises(InputError, match="two suites are called 'xstest'"):
        collected((f"xstest={path}", f"xstest={path}"))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(InputError, match="holds no prompts"):
        collected((str(empty),))
    row = {"id": "same", "messages": [{"role": "user", "content": "a"}], "kind": "benign"}
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="id 'same' stands in two suites"):
        collected((str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")))
