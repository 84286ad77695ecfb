"""`--accelerate` hands everything else on, and only the main process speaks at once."""

from __future__ import annotations

import pytest

from exante.cli import processes
from exante.errors import InputError


@pytest.mark.parametrize(
    "given",
    [
        ["align", "--accelerate", "c.yaml", "-o", "x"],
        ["align", "--accelerate=c.yaml", "-o", "x"],
        ["align", "-o", "x", "--accelerate", "c.yaml"],
        ["align", "-o", "x"],
    ],
)
def test_the_option_is_left_out(given: list[str]) -> None:
    assert processes.without_option(given) == ["align", "-o", "x"]


def test_others_leave_the_word_to_the_main_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    processes.say(InputError("wrong"))
    assert waited == []
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    processes.say(InputError("wrong"))
    assert waited == [processes._GRACE_SECONDS]
    said = capsys.readouterr().err
    assert said == "error: wrong\nerror (process 1): wrong\n"


def test_a_process_that_was_launched_launches_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    processes.in_processes(Path("nowhere.yaml"))
