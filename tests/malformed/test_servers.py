"""What servers reply: one message that names the server, and exit code 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.commands import exante
from tests.malformed import builders
from tests.malformed.corpus import Case, cases
from tests.malformed.test_commands import require_one_message
from tests.servers import Scripted, running


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    with running(scripted):
        yield scripted


@pytest.mark.parametrize("case", cases("servers"), ids=lambda case: case.label)
def test_a_malformed_reply_ends_in_one_message(
    case: Case,
    server: Scripted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    content = case.content if "make" not in case.fields else builders.body(case.fields["make"])
    assert content is not None
    server.replies = [(case.fields["status"], {}, content)]
    Path("policy.md").write_text("- Users must not pick locks.\n")
    Path("servers.yaml").write_text(f"{server.url}: {{tries: 1, timeout_seconds: 60}}\n")
    words = f"rules new --from policy.md -o new.yaml --teacher server:{server.url}#m"
    done = exante(f"--servers servers.yaml {words}", monkeypatch, capsys)
    require_one_message(done, case.fields["code"])
    assert f"{server.url}#m: no reply: " in done.said
    for said in case.says:
        assert said in done.said
    assert not Path("new.yaml").exists()
