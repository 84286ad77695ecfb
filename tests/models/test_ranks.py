"""Processes of one run: who they are, what they tell each other, and how they end together."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import environment
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from exante.errors import InputError, RunError
from exante.models import ranks as module
from exante.models.ranks import Ranks, alone, from_main, gathered, launch, ranks, require_shared

SCRIPT = """
import sys
from pathlib import Path
from exante.errors import ExanteError
from exante.models import ranks as module
from exante.models.ranks import (
    abandon, alone, from_main, gathered, ranks, require_shared, together,
)

module._SEEN_SECONDS, mine, out = 1.0, ranks().number, Path(sys.argv[1])

def told(text):
    with (out / f"{mine}.txt").open("a") as file:
        file.write(f"{text}\\n")

told(gathered(("from", mine)))
told(from_main(lambda: f"computed by {mine}"))
with alone():
    told((ranks().count, gathered(mine)))
require_shared(out)
(own := out / f"own{mine}").mkdir()
try:
    require_shared(own)
except ExanteError as error:
    told(error.problem)
if mine == 1:
    sys.exit(3)
try:
    together()
except ExanteError as error:
    told(error.problem)
    abandon(4)
"""


def one_of_two(number: int, port: int) -> dict[str, str]:
    names = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "MASTER_PORT": port}
    told = {name: str(value) for name, value in names.items()}
    return environment(MASTER_ADDR="127.0.0.1", ACCELERATE_USE_CPU="true", **told)


def test_two_processes_talk_and_end_together(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    processes = [subprocess.Popen(words, env=one_of_two(n, port)) for n in (0, 1)]
    # The one that leaves without a word may be aborted by threads that still hold its line.
    codes = [process.wait() for process in processes]
    assert (codes[0], codes[1] != 0) == (4, True)
    found = [(tmp_path / f"{n}.txt").read_text().splitlines() for n in (0, 1)]
    common = [
        "[('from', 0), ('from', 1)]",
        "computed by 0",
    ]
    unseen = "processes 1 do not see what the main process writes"
    assert found[1] == [*common, "(1, [1])", unseen]
    died = "another process of this run ended before its work was done"
    assert found[0] == [*common, "(1, [0])", unseen, died]
    assert not list(tmp_path.rglob(".seen*"))


def test_without_a_launcher_there_is_one_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert ranks() == Ranks(0, 1)
    assert ranks().main
    assert gathered("x") == ["x"]
    assert from_main(lambda: "y") == "y"
    require_shared(tmp_path / "nowhere")
    # Batch systems set some of the names for jobs of one process.
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert ranks().count == 1


def test_a_launcher_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    mine = ranks()
    assert (mine.number, mine.count, mine.main) == (2, 3, False)
    assert mine.share("abcdefgh") == ["c", "f"]
    with alone():
        assert ranks().main
        assert from_main(lambda: "y") == "y"
    assert ranks() == mine


def test_shares_are_everything_once() -> None:
    items = list(range(11))
    dealt = [Ranks(number, 4).share(items) for number in range(4)]
    assert sorted(item for share in dealt for item in share) == items
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


@pytest.mark.parametrize("text", [None, "a: [", "num_processes: 2", "[1]"])
def test_no_config_of_accelerate_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=str(path)):
        launch(path, ["align"])


def test_more_processes_than_gpus_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    path = tmp_path / "config.yaml"
    path.write_text("{distributed_type: MULTI_GPU, num_machines: 2, num_processes: 16}")
    with pytest.raises(InputError, match="8 processes on a machine with 4 GPUs"):
        module._require_config(path)
    path.write_text("{distributed_type: MULTI_GPU, num_machines: 2, num_processes: 8}")
    module._require_config(path)
    path.write_text("{distributed_type: MULTI_GPU, use_cpu: true, num_processes: 16}")
    module._require_config(path)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    module._require_config(path)
    for kind in ("MULTI_GPU", "FSDP", "DEEPSPEED"):
        path.write_text(f"{{distributed_type: {kind}, num_processes: 2}}")
        with pytest.raises(InputError, match="asks for GPUs, and this machine has none"):
            module._require_config(path)


def test_a_killed_process_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    failure = ProcessFailure(local_rank=1, pid=9, exitcode=-9, error_file="")

    def killed(_: object) -> None:
        raise ChildFailedError("exante", {1: failure})

    monkeypatch.setattr("accelerate.commands.launch.launch_command", killed)
    path = tmp_path / "config.yaml"
    path.write_text("{distributed_type: MULTI_GPU, use_cpu: true, num_processes: 2}")
    with pytest.raises(RunError, match="process 1 was ended by SIGKILL"):
        launch(path, ["align"])
    failure.exitcode = 2
    assert launch(path, ["align"]) == 2
