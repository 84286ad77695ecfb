"""What several processes had finished is continued by another number of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from exante.errors import InputError
from exante.records import Message
from exante.stages.partial import forgotten, merged, own_file, put, resumed

SAID = [Message(role="user", content=f"line {n}") for n in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Left by three processes, of which the second was killed while it wrote."""
    found = tmp_path / "said.partial.jsonl"
    for name, said in {"": SAID[:1], ".1": SAID[1:2], ".2": SAID[2:3]}.items():
        with (tmp_path / f"said.partial{name}.jsonl").open("w") as file:
            put(said, file)
    with (tmp_path / "said.partial.1.jsonl").open("a") as file:
        file.write('{"role": "user", "cont')
    return found


def be(number: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": number, "WORLD_SIZE": count, "LOCAL_RANK": number}.items():
        monkeypatch.setenv(name, str(value))


def contents(said: list[Message]) -> list[str]:
    return sorted(message.content for message in said)


def test_one_process_reads_what_three_left(path: Path) -> None:
    assert own_file(path) == path
    assert contents(resumed(path, Message)) == contents(SAID[:3])
    with own_file(path).open("a") as file:
        put(SAID[3:], file)
    assert contents(merged(path, Message)) == contents(SAID)
    forgotten(path)
    assert list(path.parent.iterdir()) == []


def test_a_process_mends_its_own_file_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torn = path.with_name("said.partial.1.jsonl")
    be(0, 2, monkeypatch)
    assert contents(resumed(path, Message)) == contents(SAID[:3])
    assert "cont\n" not in torn.read_text()
    assert not torn.read_text().endswith("\n")
    be(1, 2, monkeypatch)
    assert own_file(path) == torn
    assert contents(resumed(path, Message)) == contents(SAID[:3])
    assert torn.read_text().endswith("}\n")


def test_nothing_was_left(tmp_path: Path) -> None:
    assert resumed(tmp_path / "said.partial.jsonl", Message) == []


def test_a_whole_line_that_does_not_fit_is_named(path: Path) -> None:
    path.write_text('{"role": "nobody"}\n')
    with pytest.raises(InputError, match=r"said\.partial\.jsonl"):
        resumed(path, Message)


def test_a_line_that_is_torn_inside_a_character_is_owed_again(path: Path) -> None:
    with path.open("ab") as file:
        file.write('{"role": "user", "content": "café'.encode()[:-1])
    assert contents(resumed(path, Message)) == contents(SAID[:3])
    assert path.read_bytes().endswith(b"}\n")
