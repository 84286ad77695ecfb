"""Several processes that perform one run: who this one is, and what they tell each other.

Every process performs the whole recipe. What cannot be divided is done by the main process while
the others wait for its word; what can is divided by `Ranks.share`. Objects go over a line of their
own (gloo), so that waiting needs no GPU, has no time limit worth the name, and ends at once when
the process at its other end does. Gradients never go here.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from exante import documents
from exante.errors import InputError, RunError

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_LINE_PATIENCE = timedelta(days=30)
"""The main process may judge or sample for days while the others wait."""
_GRADIENT_PATIENCE = timedelta(hours=3)
"""Between two exchanges of gradients the main process may write a large checkpoint."""
_SEEN_SECONDS = 60.0
"""What one machine wrote is seen by the others within this time, or never."""
_LOOK_SECONDS = 0.2

T = TypeVar("T")
_working_alone: ContextVar[bool] = ContextVar("working_alone", default=False)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of its run."""

    number: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Does this process write, print and decide?"""
        return self.number == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Every `count`-th item, from this process's own place on."""
        return list(items[self.number :: self.count])


def ranks() -> Ranks:
    """This process, as its launcher named it; without a launcher, the only one."""
    if _working_alone.get() or not all(name in os.environ for name in _NAMES):
        return Ranks()
    return Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


@contextmanager
def alone() -> Iterator[None]:
    """Within, this process is the only one: for work that the others wait for."""
    before = _working_alone.set(True)
    try:
        yield
    finally:
        _working_alone.reset(before)


def from_main(compute: Callable[[], T]) -> T:
    """What the main process computes, in all of them; nobody else calls `compute`.

    Raises:
        RunError: another process ended before this was exchanged.
    """
    mine = ranks()
    if mine.count == 1:
        return compute()
    import torch.distributed as dist

    line, box = _line(), [compute() if mine.main else None]
    _exchanged(lambda: dist.broadcast_object_list(box, src=0, group=line))
    found: Any = box[0]
    return found  # type: ignore[no-any-return]


def gathered(value: T) -> list[T]:
    """The value of each process, in their order, in all of them.

    Raises:
        RunError: another process ended before this was exchanged.
    """
    mine = ranks()
    if mine.count == 1:
        return [value]
    import torch.distributed as dist

    line = _line()
    found: list[Any] = [None] * mine.count
    _exchanged(lambda: dist.all_gather_object(found, value, group=line))
    return found


def together() -> None:
    """Return when every process has come here.

    Raises:
        RunError: another process ended before.
    """
    gathered(None)


def require_shared(folder: Path) -> None:
    """Check that all processes see what the main one writes into the folder.

    Raises:
        InputError: one of them does not, within a minute.
    """
    if ranks().count == 1:
        return
    sign = folder / f".seen-{from_main(lambda: secrets.token_hex(8))}"
    if ranks().main:
        sign.touch()
    # Nobody looks before it is there: a file that was missed once may stay hidden for a while.
    together()
    blind = [number for number, seen in enumerate(gathered(_appears(sign))) if not seen]
    if ranks().main:
        sign.unlink()
    if blind:
        raise InputError(
            f"processes {', '.join(map(str, blind))} do not see what the main process writes",
            where=str(folder),
            fix="choose an --output on a filesystem that all machines share",
        )


def await_path(path: Path) -> None:
    """Return when a file or folder that another process has made is seen here, too.

    Raises:
        RunError: it is not, within a minute.
    """
    if not _appears(path):
        raise RunError(
            "was made by another process of this run and is not seen here",
            where=str(path),
            fix="choose an --output on a filesystem that all machines share",
        )


def leave() -> None:
    """End what connects the processes; for the end of a run that went well."""
    if ranks().count > 1 and _line.cache_info().currsize:
        import torch.distributed as dist

        dist.destroy_process_group()
        _line.cache_clear()


def abandon(code: int) -> NoReturn:
    """End this process at once with the code; for the end of a run that went wrong.

    Threads of a line whose other end is gone abort an interpreter that takes its usual way out: the
    exit code would be a signal's, after a message of the C++ runtime.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def launch(config: Path, arguments: Sequence[str]) -> int:
    """Run `exante` with the arguments in as many processes as the file says; returns the exit code.

    The same as `accelerate launch --config_file CONFIG -m exante ARGUMENTS`, but that the exit code
    is that of the process which failed first, and that no trace of the launcher is printed.

    Raises:
        InputError: the file is missing, no accelerate config, or asks for more than there is.
        RunError: a process was killed.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    _require_config(config)
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    words = ["--config_file", str(config), "-m", "exante", *arguments]
    try:
        launch_command(launch_command_parser().parse_args(words))
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            # Whoever is killed says nothing, and the others are ended before they can.
            raise RunError(
                f"process {number} was ended by {failure.signal_name()}",
                fix="often memory: lower train.batch_tokens; the same command continues",
            ) from None
        return int(failure.exitcode) or 1
    except SignalException as error:
        return 128 + int(error.sigval)
    except SystemExit as end:
        return int(end.code) if isinstance(end.code, int) else 1
    except (ValueError, ImportError, ConnectionError) as error:
        raise InputError(f"cannot be launched: {error}", where=str(config), fix=_READY) from None
    return 0


def _require_config(config: Path) -> None:
    text = documents.text_of(config, fix=_READY)
    found = documents.values(text, where=str(config))
    if not isinstance(found, dict) or "distributed_type" not in found:
        raise InputError(
            "is no config of accelerate (no distributed_type)", where=str(config), fix=_READY
        )
    import torch

    processes, machines = (
        _count(found, name, config) for name in ("num_processes", "num_machines")
    )
    on_cpu = bool(found.get("use_cpu")) or found["distributed_type"] not in _ON_GPUS
    devices = 0 if on_cpu else torch.cuda.device_count()
    if not on_cpu and not devices:
        # accelerate would start as many processes on the CPU, each with the whole model.
        raise InputError(
            "asks for GPUs, and this machine has none",
            where=str(config),
            fix="run it where they are; to try things out here: use_cpu: true, num_processes: 2",
        )
    _require_devices(processes // machines, devices, str(config))


def _count(found: dict[str, Any], name: str, config: Path) -> int:
    value = found.get(name)
    if value is None:
        return 1
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(
            f"{name}: {value!r:.60} is no number of 1 or more", where=str(config), fix=_READY
        )
    return value


_ON_GPUS = ("MULTI_GPU", "FSDP", "DEEPSPEED")
_READY = "docs/scaling.md has ready ones; `accelerate config` writes one"


def _require_devices(processes: int, devices: int, where: str) -> None:
    if 0 < devices < processes:
        raise InputError(
            f"{processes} processes on a machine with {devices} GPUs",
            where=where,
            fix="one process per GPU: lower num_processes",
        )


@cache
def _line() -> Any:
    """The line for objects; the first call connects the processes.

    Raises:
        InputError: there are more processes than GPUs.
    """
    import torch
    import torch.distributed as dist
    from accelerate import PartialState

    from exante.models.devices import default_device

    on_cpu = default_device() == "cpu"
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    _require_devices(local, 0 if on_cpu else torch.cuda.device_count(), "accelerate launch")
    PartialState(cpu=on_cpu, timeout=_GRADIENT_PATIENCE)
    return dist.new_group(backend="gloo", timeout=_LINE_PATIENCE)


def _exchanged(exchange: Callable[[], Any]) -> None:
    try:
        exchange()
    except RuntimeError as error:
        raise RunError(
            "another process of this run ended before its work was done",
            fix="its own message says why; the same command continues",
        ) from error


def _appears(path: Path) -> bool:
    """Is the path there, now or within a minute?"""
    end = time.monotonic() + _SEEN_SECONDS
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
