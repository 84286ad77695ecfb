"""Kills a run again and again at random moments, and holds what it made against an undisturbed one.

What counts: a kill is SIGKILL, to the whole process group or, where that is asked for, to one child
alone; the same command is given again; no finished step is made again; in the end no artefact
differs (`stages.differences`).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from exante.errors import InputError, RunError
from exante.records import Record, write_json
from exante.stages.base import STAMP
from exante.stages.differences import StepDifference, differences

_POLL_SECONDS = 0.02
_STARTED = "done"
"""What a run says of its first step, kept or made: from then on it works."""
_WHILE_STARTING = 0.1
"""Share of the kills that hit a run before that."""
_LONG = 0.2
"""Share of the waits that are long, so that steps without checkpoints come to an end."""
_LONGER = 12.0
_LAST_LINES = 8
_BETWEEN = "between steps"
_PARTIAL = ".partial"
"""End of the name of a folder in which a step is being made."""
_GRACE_SECONDS = 120.0
"""A run that lost a child ends, or gets along without it, within this time; then it is killed."""


class ChaosResult(Record):
    """What the kills did."""

    command: tuple[str, ...]
    """What was run, without its output folder."""
    seed: int
    kills: int
    of_children: int = 0
    """Kills that hit one child process alone."""
    passes: int
    """Runs that were brought to their end that way."""
    while_making: dict[str, int]
    """Kills by what was being made."""
    redone: tuple[str, ...]
    """Finished steps that a later start made again."""
    steps: int
    """Steps of the undisturbed run."""
    differing: tuple[StepDifference, ...]
    """Steps of disturbed runs that differ from the undisturbed one."""
    undisturbed_seconds: float
    disturbed_seconds: float

    @property
    def is_unharmed(self) -> bool:
        """Did every kill leave no trace?"""
        return not self.redone and not self.differing


@dataclass(slots=True)
class _Tally:
    kills: int = 0
    of_children: int = 0
    passes: int = 0
    while_making: Counter[str] = field(default_factory=Counter)
    redone: set[str] = field(default_factory=set)
    differing: list[StepDifference] = field(default_factory=list)


def chaos(
    command: Sequence[str],
    *,
    output: Path,
    kills: int,
    mean_seconds: float,
    seed: int,
    say: Callable[[str], None],
    children: bool = False,
) -> ChaosResult:
    """Perform `COMMAND --output ...` undisturbed, and then killed as often as asked for.

    `mean_seconds` is the mean wait between a start and its kill; one wait in five is twelve times
    as long. Runs that end before are compared, and another is begun. With `children`, every other
    kill hits one child process alone, if there is one, and the run has to end by itself.

    Raises:
        InputError: `output` holds something already.
        RunError: a run failed by itself; shows the end of what it said.
    """
    if output.exists() and any(output.iterdir()):
        raise InputError("holds something already", where=str(output), fix="choose another folder")
    output.mkdir(parents=True, exist_ok=True)
    rng, tally = random.Random(seed), _Tally()
    start = time.monotonic()
    plain = output / "undisturbed"
    say("undisturbed")
    _Attempt(command, plain, output).to_its_end()
    undisturbed = time.monotonic() - start
    while tally.kills < kills:
        tally.passes += 1
        run = output / f"disturbed-{tally.passes}"
        _killed_to_its_end(command, run, output, rng, mean_seconds, tally, say, children=children)
        tally.differing += differences(plain, run).steps
    compared = differences(plain, plain)
    result = ChaosResult(
        command=tuple(command),
        seed=seed,
        kills=tally.kills,
        of_children=tally.of_children,
        passes=tally.passes,
        while_making=dict(tally.while_making.most_common()),
        redone=tuple(sorted(tally.redone)),
        steps=compared.same + len(compared.not_compared),
        differing=tuple(tally.differing),
        undisturbed_seconds=round(undisturbed, 1),
        disturbed_seconds=round(time.monotonic() - start - undisturbed, 1),
    )
    write_json(output / "chaos.json", result.model_dump(mode="json"))
    return result


def _killed_to_its_end(
    command: Sequence[str],
    run: Path,
    output: Path,
    rng: random.Random,
    mean_seconds: float,
    tally: _Tally,
    say: Callable[[str], None],
    *,
    children: bool,
) -> None:
    finished: dict[str, int] = {}
    while True:
        attempt = _Attempt(command, run, output)
        wait = rng.expovariate(1 / mean_seconds) * (_LONGER if rng.random() < _LONG else 1)
        if ended := attempt.wait(wait, from_start=rng.random() < _WHILE_STARTING):
            attempt.to_its_end()
        else:
            making = _being_made(run)
            alone = children and rng.random() < 0.5 and attempt.lost_a_child(rng)
            if not alone:
                attempt.kill()
            tally.kills += 1
            tally.of_children += alone
            tally.while_making[making] += 1
            say(f"kill {tally.kills}: {making}{', a child' if alone else ''}")
        now = _stamps(run)
        tally.redone |= {step for step, made in finished.items() if now.get(step) != made}
        finished = now
        if ended:
            return


class _Attempt:
    """One process of a run; what it says goes to a file."""

    def __init__(self, command: Sequence[str], run: Path, output: Path) -> None:
        self.said = output / f"{run.name}.log"
        with self.said.open("w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [*command, "--output", str(run)],
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
            )

    def wait(self, seconds: float, *, from_start: bool) -> bool:
        """Let it work for so long, once it works or from its start on; has it ended by itself?"""
        with self._never_left():
            while not from_start and not self._works() and self.process.poll() is None:
                time.sleep(_POLL_SECONDS)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                return False
        return True

    def kill(self) -> None:
        """Kill it and all that it started."""
        self._end(_below(self.process.pid))
        self.process.wait()

    def lost_a_child(self, rng: random.Random) -> bool:
        """Kill one child, if there is one, and wait for what becomes of its parent."""
        found = _below(self.process.pid)
        if not found:
            return False
        _kill(rng.choice(found))
        with self._never_left():
            try:
                self.process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        # Whatever outlives its parent must not work beside the next attempt.
        self._end(found)
        return True

    def to_its_end(self) -> None:
        """Wait for it.

        Raises:
            RunError: it failed.
        """
        with self._never_left():
            code = self.process.wait()
        if code:
            last = "\n".join(self._text().splitlines()[-_LAST_LINES:])
            raise RunError(f"the run ended with exit code {code}:\n{last}", where=str(self.said))

    def _end(self, below: Sequence[int]) -> None:
        """Kill its group and those below it: launchers give their processes groups of their own."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for process in below:
            _kill(process)

    @contextmanager
    def _never_left(self) -> Iterator[None]:
        """Within, whoever stops the benchmark stops the run: it is in a session of its own."""
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def _works(self) -> bool:
        return _STARTED in self._text()

    def _text(self) -> str:
        return self.said.read_text(encoding="utf-8", errors="replace")


def _below(process: int) -> list[int]:
    """Processes that this one and its own started and that still run, as Linux tells it."""
    found: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # It has just ended.
            children = [int(word) for word in path.read_text(encoding="ascii").split()]
            found += [one for child in children for one in (child, *_below(child))]
    return found


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _stamps(run: Path) -> dict[str, int]:
    """When each finished step was stamped, in nanoseconds."""
    stamps = run.glob(f"*/{STAMP}")
    # A kill may come between the stamp and the name that makes a step finished.
    done = (path for path in stamps if path.parent.suffix != _PARTIAL)
    return {path.parent.name: path.stat().st_mtime_ns for path in done}


def _being_made(run: Path) -> str:
    """The step whose working folder was written last."""
    if not run.is_dir():
        return _BETWEEN
    folders = {path: max(_times(path), default=0) for path in run.glob(f"*{_PARTIAL}")}
    if not folders:
        return _BETWEEN
    newest = max(folders, key=lambda path: folders[path])
    return newest.name.removesuffix(_PARTIAL).rpartition(".")[0]


def _times(folder: Path) -> Iterator[int]:
    # The run goes on meanwhile: files get other names, and the folder its own.
    with suppress(FileNotFoundError):
        for path in (folder, *folder.rglob("*")):
            with suppress(FileNotFoundError):
                yield path.stat().st_mtime_ns
