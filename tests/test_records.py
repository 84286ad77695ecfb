"""Records: frozen, strict, and the same after a way through a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exante.errors import InputError
from exante.records import (
    Example,
    Judgement,
    Message,
    Response,
    parse_line,
    read_jsonl,
    read_record,
    write_json,
    write_jsonl,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def example(prompt: str = "hello", name: str = "a") -> Example:
    return Example(id=name, messages=(Message(role="user", content=prompt),), kind="benign")


def judgement(**changes: object) -> Judgement:
    fields: dict[str, object] = {"example_id": "a", "judge": "j", "answer": "complied"}
    return Judgement.model_validate(fields | {"unsafe": False, "useful": 1.0} | changes)


@given(st.lists(TEXT, max_size=5))
def test_a_line_holds_any_text(texts: list[str]) -> None:
    messages = tuple(Message(role="user", content=text) for text in ["x", *texts])
    responses = tuple(Response(text=text, cost=1.5) for text in texts)
    record = Example(id="a", messages=messages, kind="harmful", responses=responses)
    line = record.model_dump_json()
    assert "\n" not in line
    assert parse_line(line, Example, where="") == record


def test_a_file_holds_line_separators_of_unicode(tmp_path: Path) -> None:
    """JSON leaves U+2028 and U+0085 as they are; `str.splitlines` would tear such a line."""
    records = [example("a\u2028b\u0085c\nd"), example("e", name="b")]
    path = tmp_path / "x.jsonl"
    assert write_jsonl(path, records) == 2
    assert read_jsonl(path, Example) == records


def test_writing_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [example()])
    write_json(tmp_path / "y.json", {"é": [1]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.jsonl", "y.json"]
    assert json.loads((tmp_path / "y.json").read_text(encoding="utf-8")) == {"é": [1]}


def test_a_failed_writing_keeps_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_jsonl(path, [example()])

    def torn() -> object:
        yield example("new")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_jsonl(path, torn())  # type: ignore[arg-type]
    assert read_jsonl(path, Example) == [example()]


def test_blank_lines_are_skipped_and_lines_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f"\n{example().model_dump_json()}\n\n")
    assert read_jsonl(path, Example) == [example()]
    path.write_text(f"\n{example().model_dump_json()}\n\n{{broken\n")
    with pytest.raises(InputError) as caught:
        read_jsonl(path, Example)
    assert caught.value.where == f"{path}:4"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "nice"}, "kind"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"categroy": "M01"}, "categroy"),
    ],
)
def test_a_line_that_does_not_fit_names_its_field(change: dict[str, object], field: str) -> None:
    line = json.dumps(json.loads(example().model_dump_json()) | change)
    with pytest.raises(InputError) as caught:
        parse_line(line, Example, where="x.jsonl:7")
    assert str(caught.value).startswith(f"x.jsonl:7: {field}: ")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_an_unreadable_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_jsonl(path, Example)
    assert caught.value.where == str(path)


def test_a_name_that_no_file_can_have_is_told() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_jsonl(Path("a\0b.jsonl"), Example)
    with pytest.raises(InputError, match="cannot be read"):
        read_record(Path("a\0b.json"), Example, what="example", fix="write one")


def test_records_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        example().id = "b"  # type: ignore[misc]


def test_the_prompt_is_the_last_user_turn() -> None:
    turns = (("system", "s"), ("user", "first"), ("assistant", "a"), ("user", "last"))
    messages = [{"role": role, "content": content} for role, content in turns]
    found = Example.model_validate({"id": "a", "kind": "benign", "messages": messages})
    assert found.prompt == "last"


TRACED = {"trace_present": True, "trace_valid": True, "agrees": True}


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({}, True),
        ({"answer": "refused"}, True),
        (TRACED, True),
        ({"answer": "partial"}, False),
        ({"answer": "truncated", "unsafe": None}, False),
        ({"unsafe": None}, False),
        ({"unsafe": True}, False),
        ({"useful": None}, False),
        ({"useful": 0.4}, False),
        (TRACED | {"trace_valid": False}, False),
        (TRACED | {"agrees": False}, False),
        (TRACED | {"agrees": None}, False),
        (TRACED | {"trace_harmful": True}, False),
    ],
)
def test_only_what_is_good_in_every_respect_may_be_imitated(
    changes: dict[str, object], right: bool
) -> None:
    assert judgement(**changes).right is right
