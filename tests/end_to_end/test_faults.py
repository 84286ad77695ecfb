"""What a disk, another process or a stray hand does to a run, as the command line tells it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.commands import environment, one_command
from tests.commands import exante as called

from exante.cli import main
from exante.stages.base import LOCK, STAMP, stamp_of

Command = Callable[..., tuple[int, str]]
HOLDER = """
import sys
from pathlib import Path
from exante.stages.base import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def exante(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process: its exit code and what it said."""

    def command(*words: object) -> tuple[int, str]:
        done = called(shlex.join(map(str, words)), monkeypatch, capsys)
        return done.code, done.printed + done.said

    return command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as far as its prompts, to be copied."""
    run = tmp_path_factory.mktemp("faults") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", align(run))
        with one_command(), pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    return run


def align(run: Path) -> list[str]:
    return ["exante", "align", "--until", "prompts", "-o", str(run)]


def steps(run: Path) -> set[str]:
    return {path.parent.name for path in run.glob(f"*/{STAMP}")}


def full(path: Path) -> Path:
    """A file on a disk without room: the system's own, and its own error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/full")
    return path


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_ends_in_one_message_and_the_run_goes_on_later(
    made: Path, tmp_path: Path, exante: Command
) -> None:
    run = tmp_path / "run"
    part = f"prompts.{stamp_of(made / 'prompts')['fingerprint'][:8]}.partial"
    run.mkdir()
    (run / LOCK).touch()
    stuck = full(run / part / "train.jsonl.tmp")
    code, said = exante(*align(run)[1:])
    assert (code, steps(run)) == (1, {"base"})
    assert "error: " in said
    assert "the disk is full\n  fix: free some space and give the same command again" in said
    assert "Traceback" not in said
    stuck.unlink()
    base = (run / "base" / STAMP).stat().st_mtime_ns
    assert exante(*align(run)[1:])[0] == 0
    assert (run / "base" / STAMP).stat().st_mtime_ns == base
    assert stamp_of(run / "prompts")["content"] == stamp_of(made / "prompts")["content"]


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A folder in which not even root can make another one."""
    folder = Path("/sys/exante-run")
    try:
        folder.mkdir()
    except OSError:
        yield folder
    else:
        folder.rmdir()
        pytest.fail("folders can be made in /sys: another place is needed for this test")


def test_an_output_that_cannot_be_written_is_said_before_anything_runs(
    unwritable: Path, tmp_path: Path, exante: Command
) -> None:
    code, said = exante("align", "-o", unwritable)
    assert code == 2
    assert f"{unwritable}: cannot be written" in said
    assert "fix: choose another --output" in said
    (tmp_path / "file").write_text("mine")
    code, said = exante("align", "-o", tmp_path / "file" / "run")
    assert (code, "is in the way: not a folder" in said) == (2, True)
    assert (tmp_path / "file").read_text() == "mine"


def test_two_commands_on_one_folder(tmp_path: Path, exante: Command) -> None:
    run = tmp_path / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        code, said = exante(*align(run)[1:])
        assert code == 2
        assert f"{run}: another exante process is working in this folder" in said
        assert "wait for it, or choose another --output" in said
        assert steps(run) == set()
    finally:
        # Whatever holds a folder lets go when it is killed.
        other.kill()
        other.wait()
        for stream in (other.stdin, other.stdout):
            assert stream is not None
            stream.close()
    assert exante(*align(run)[1:])[0] == 0


def test_a_damaged_step_is_named_set_aside_and_made_again(tmp_path: Path, exante: Command) -> None:
    run = tmp_path / "run"
    assert exante(*align(run)[1:])[0] == 0
    before = stamp_of(run / "prompts")
    base = (run / "base" / STAMP).stat().st_mtime_ns
    with (run / "prompts/train.jsonl").open("r+") as file:
        file.write("#")
    code, said = exante(*align(run)[1:])
    assert code == 2
    assert f"{run / 'prompts'}: is damaged: train.jsonl was changed" in said
    assert f"fix: exante repair {run}, and the same command again" in said
    assert exante("repair", run, "--check")[0] == 1
    code, said = exante("repair", run)
    assert (code, f"moved to {run / 'damaged/prompts-1'}" in said) == (0, True)
    assert exante(*align(run)[1:])[0] == 0
    after = stamp_of(run / "prompts")
    assert (after["fingerprint"], after["content"]) == (before["fingerprint"], before["content"])
    assert (run / "base" / STAMP).stat().st_mtime_ns == base
