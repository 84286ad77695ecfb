"""A planted key, through a run with a server that repeats it: found in no file and no output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.commands import one_command
from tests.servers import Reply, Scripted, completion, running

from exante.cli import main
from exante.errors import InputError
from exante.models.endpoint import KEY
from exante.recipes.plan import build

SECRET = "planted-Key.0123456789-do-not-write-down"


class Talkative(Scripted):
    """Repeats the key that it was sent, in answers, reasoning, models and errors."""

    def reply_to(self, body: dict[str, object]) -> Reply:
        super().reply_to(body)
        if len(self.seen) % 3 == 1:
            return 429, {"Retry-After": "0"}, f"wrong key? {SECRET}".encode()
        words = f"I cannot help with that, Bearer {SECRET}."
        return 200, {}, completion(words, reasoning_content=f"key {SECRET}")


@pytest.fixture
def server() -> Iterator[Talkative]:
    found = Talkative()
    found.models = [{"id": "some/model", "owned_by": f"tests {SECRET}"}]
    with running(found):
        yield found


def told(capfd: pytest.CaptureFixture[str], *words: object) -> str:
    sys.argv = ["exante", *map(str, words)]
    with one_command(), suppress(SystemExit):
        main()
    return "".join(capfd.readouterr())


def written_in(folder: Path) -> list[Path]:
    """Files that hold the key."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_key_is_in_no_file_and_no_output_of_a_run(
    server: Talkative,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setattr(sys, "argv", [])
    rows = [{"prompt": f"How do I do this {n} times?", "kind": "harmful"} for n in range(4)]
    data = tmp_path / "prompts.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [f"server:{server.url}#some/model", "--data", data, "--attacks", "direct"]
    judged = ["--judge", f"rubric:{server.url}#some/model"]
    out = tmp_path / "run"
    text = told(capfd, "evaluate", *asked, *judged, "--output", out)
    assert any(SECRET in (key or "") for key in server.keys), "the key was not sent at all"
    assert (out / "results.json").is_file(), text
    assert SECRET not in text
    assert written_in(tmp_path) == []
    server.replies = [(401, {}, f"no: {SECRET}".encode())]
    monkeypatch.setattr(Talkative, "reply_to", lambda *_: server.replies[0])
    text = told(capfd, "evaluate", *asked, *judged, "--output", tmp_path / "refused")
    assert "status 401" in text
    assert SECRET not in text
    assert written_in(tmp_path) == []


@pytest.mark.parametrize(
    "secret",
    [
        "http://me:planted-password@127.0.0.1:1/v1#m",
        "http://127.0.0.1:1/v1?api_key=planted-password#m",
        "hf_planted0password0planted0password0",
        "sk-planted-0-password-planted-password",
    ],
)
def test_settings_that_hold_a_secret_are_refused_before_anything_is_written(
    secret: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    out = tmp_path / "run"
    text = told(capfd, "align", "erpo", "--set", f"judge=rubric:{secret}", "--output", out)
    assert "looks like a key or a password" in text
    assert "EXANTE_API_KEY" in text
    assert "planted" not in text.replace(str(tmp_path), "")
    assert not out.exists()
    text = told(capfd, "evaluate", f"server:{secret}", "--output", out)
    assert "error:" in text
    assert "password" not in text.replace("a user, password or", "").replace("a password", "")
    assert not [
        path for path in out.rglob("*") if path.is_file() and b"planted" in path.read_bytes()
    ]


def test_a_nested_secret_is_named_by_its_place() -> None:
    raw = {"settings": {"a": [{"b": "Bearer 0123456789abcdef"}]}, "steps": {}}
    with pytest.raises(InputError, match="recipe.yaml: settings: a: b: looks like a key") as found:
        build(raw, "recipe.yaml")
    assert "0123456789abcdef" not in str(found.value)
