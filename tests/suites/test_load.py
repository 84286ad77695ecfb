"""Every real format is read as its authors meant it, and every fault is located."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from tests.suite_files import FILES, write_format

from exante.errors import InputError
from exante.records import Example
from exante.suites import SUITES, SuiteFile, parse_request
from exante.suites.load import Located, account, locate, read_suite, recognised

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return partial(write_format, tmp_path)


def read(path: Path, name: str | None = None, *keep: str) -> tuple[Located, list[Example]]:
    place = locate(parse_request(f"{name}={path}" if name else str(path)))
    examples, _ = read_suite(place, column=None, kind=None, keep=keep)
    return place, examples


@pytest.mark.parametrize("name", list(FILES))
def test_each_format_is_recognised_by_its_columns(write: Write, name: str) -> None:
    found = recognised(write(name))
    assert found is not None
    assert found.name == name.removesuffix("-inline")


def test_other_files_are_of_no_suite(tmp_path: Path) -> None:
    for name, text in (
        ("mine.csv", "prompt,category\na,b\n"),
        ("mine.jsonl", '{"question": "a?", "answer": "because"}\n'),
        ("mine.json", '[{"question": "a?", "response": "b"}]'),
        ("empty.json", "[]"),
    ):
        (tmp_path / name).write_text(text)
        assert recognised(tmp_path / name) is None


def test_harmbench_puts_the_context_first_and_leaves_copyright_out(write: Write) -> None:
    path = write("harmbench")
    place = locate(parse_request(f"harmbench={path}"))
    examples, left = read_suite(place, column=None, kind=None, keep=())
    assert [e.prompt for e in examples] == [
        "Do placeholder thing one",
        "Do placeholder thing two, with a comma",
        "A lab.\n\nTwo lines.\n\nDo it to the lab above",
    ]
    assert [e.facts.get("plain") for e in examples] == [None, None, "Do it to the lab above"]
    assert left == {"copyright": 1}
    assert {e.kind for e in examples} == {"harmful"}
    told = account(place, examples, left)
    assert (told.prompts, told.left_out, told.licence) == (3, {"copyright": 1}, "MIT")
    assert told.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told.split is None
    _, all_of_them = read(path, "harmbench", "copyright")
    assert [e.facts["category"] for e in all_of_them][-1] == "copyright"


def test_kinds_are_those_of_the_rows_or_of_the_file(write: Write) -> None:
    kinds = {name: [e.kind for e in read(write(name))[1]] for name in FILES}
    assert kinds == {
        "harmbench": ["harmful"] * 3,
        "strongreject": ["harmful"],
        "advbench": ["harmful"],
        "jailbreakbench": ["borderline"],
        "wildjailbreak": ["harmful", "borderline"],
        "sorry-bench": ["harmful"],
        "xstest": ["borderline", "harmful"],
        "or-bench": ["harmful"],
        "gsm8k": ["capability"] * 2,
        "mmlu": ["capability"] * 2,
        "mmlu-inline": ["capability"],
    }


def test_jailbreakbench_asks_the_goal_and_not_its_short_name(write: Write) -> None:
    _, (only,) = read(write("jailbreakbench"))
    assert only.prompt == "Write about a placeholder"


def test_capability_rows_carry_what_is_right(write: Write) -> None:
    _, numbers = read(write("gsm8k"))
    assert [e.facts for e in numbers] == [
        {"exact": "number", "answer": "4", "plain": "Two and two?"},
        {"exact": "number", "answer": "1001", "plain": "A thousand and one?"},
    ]
    assert all("####" not in e.prompt for e in numbers)
    _, letters = read(write("mmlu"))
    assert [(e.facts["answer"], e.facts["options"]) for e in letters] == [("C", 4), ("B", 2)]
    assert "(C) r" in letters[0].prompt
    _, (inline,) = read(write("mmlu-inline"))
    assert (inline.facts["answer"], inline.facts["options"]) == ("D", 4)
    assert inline.prompt.count("(A)") == 1


def test_who_vouches_for_a_file_decides_its_name_and_licence(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("advbench")
    by_columns, examples = read(path)
    assert by_columns.label == "adv"
    assert account(by_columns, examples, {}).licence == "unknown"
    named, examples = read(path, "advbench")
    assert named.label == "advbench"
    assert examples[0].id.startswith("advbench/2-")
    assert account(named, examples, {}).licence == "MIT"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = SuiteFile(split="behaviors", name="x.csv", sha256=digest)
    published = SUITES["advbench"].model_copy(update={"files": (file,)})
    monkeypatch.setattr("exante.suites.KNOWN", (published,))
    public, examples = read(path)
    assert public.label == "advbench"
    assert account(public, examples, {}).split == "behaviors"


def test_a_file_whose_kind_nobody_says_is_asked_about(tmp_path: Path, write: Write) -> None:
    renamed = write("jailbreakbench").rename(tmp_path / "goals.csv")
    with pytest.raises(InputError, match=r"jailbreakbench:benign=.*goals\.csv"):
        read(renamed)
    _, (only,) = read(renamed, "jailbreakbench:harmful")
    assert only.kind == "harmful"
    misnamed = renamed.rename(tmp_path / "benign-behaviors.csv")
    _, (only,) = read(misnamed, "jailbreakbench:harmful")
    assert only.kind == "harmful", "a split that is named wins over the name of the file"
    renamed = misnamed.rename(renamed)
    place = locate(parse_request(str(renamed)))
    examples, _ = read_suite(place, column=None, kind="benign", keep=())
    assert examples[0].kind == "benign"


def test_a_column_of_the_users_own_wins_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("prompt,ContextString\nDo a placeholder,Some context\n")
    place = locate(parse_request(f"harmbench={path}"))
    with pytest.raises(InputError, match=r"x\.csv:2: no column 'Behavior'[\s\S]*--column"):
        read_suite(place, column=None, kind=None, keep=())
    (only,), _ = read_suite(place, column="prompt", kind=None, keep=())
    assert only.prompt == "Some context\n\nDo a placeholder"


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("advbench", {"goal": " ", "target": "x"}, r"x\.jsonl:1: goal: the prompt is empty"),
        ("xstest", {"prompt": "a", "label": "fine"}, r"x\.jsonl:1: label: unknown label 'fine'"),
        ("gsm8k", {"question": "a", "answer": "4"}, r"x\.jsonl:1: answer: no number behind ####"),
        ("mmlu", {"question": "a", "answer": "A"}, r"x\.jsonl:1: answer: 'A' is none of 0 options"),
        ("mmlu", {"question": "a", "choices": ["x", "y"], "answer": 2}, "2 is none of 2 options"),
        ("wildjailbreak", {"adversarial": "a"}, r"x\.jsonl:1: data_type: unknown data_type ''"),
        ("mmlu", {"question": "a", "choices": ["x", "y"], "answer": ""}, "'' is none of 2"),
        ("mmlu", {"question": "a", "choices": ["x", "y"], "answer": "AB"}, "'AB' is none of 2"),
        ("sorry-bench", {"question_id": 1}, r"x\.jsonl:1: no column 'turns'"),
        ("sorry-bench", {"turns": []}, r"x\.jsonl:1: turns: the prompt is empty"),
    ],
)
def test_faults_are_located(
    tmp_path: Path, name: str, row: dict[str, object], message: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=message):
        read(path, name)


def test_the_hub_gives_the_published_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def download(repository: str, file: str, repo_type: str) -> str:
        asked.append((repository, file, repo_type))
        return str(write("xstest"))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    place = locate(parse_request("xstest"))
    assert asked == [("Paul/XSTest", "xstest_prompts.csv", "dataset")]
    assert place.label == "xstest"
    assert not place.is_public, "its content is not the published one"


def test_without_a_network_there_is_one_message_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def download(*_: str, **__: str) -> str:
        raise LocalEntryNotFoundError("many\nlines of the library's own")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(InputError) as caught:
        locate(parse_request("or-bench:toxic"))
    assert "bench-llm/or-bench/or-bench-toxic.csv: cannot be downloaded" in str(caught.value)
    assert "--suite or-bench:toxic=PATH" in str(caught.value)
    assert "lines of the library" not in str(caught.value)


def test_what_is_not_on_the_hub_is_said_before_any_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", None)
    with pytest.raises(InputError, match=r"do not publish it on the hub[\s\S]*advbench=PATH"):
        locate(parse_request("advbench"))
