"""How a run goes, drawn on stderr."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from exante.cli.terminal import Screen, shown, words
from exante.errors import RunError
from exante.models.ranks import ranks


@contextmanager
def watched(out: Path) -> Iterator[ProgressListener]:
    """A listener that draws how the run in `out` goes; an interrupt becomes a message.

    Raises:
        RunError: the run was interrupted.
    """
    try:
        with ProgressListener() as listener:
            yield listener
    except KeyboardInterrupt:
        raise RunError(
            "stopped before the end",
            where=str(out),
            fix="the same command continues; finished steps are kept",
        ) from None


class _Interrupt:
    """Ctrl-C, remembered.

    Python drops an exception that is raised in a finalizer or in the callback of a weak reference.
    Each import has such a callback, and a run imports much on its way.
    """

    def __init__(self) -> None:
        self._pressed = False
        # Ignored (`nohup`) it stays; and only the main thread may say what signals do.
        self._mine = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )

    def listen(self) -> None:
        """Remember it from now on."""
        if self._mine:
            signal.signal(signal.SIGINT, self._press)

    def leave(self) -> None:
        """As it was before."""
        if self._mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raises KeyboardInterrupt if it was pressed, and dropped."""
        if self._pressed:
            raise KeyboardInterrupt

    def _press(self, *_: object) -> NoReturn:
        self._pressed = True
        raise KeyboardInterrupt


class ProgressListener:
    """Shows steps and bars with the remaining time on stderr."""

    def __init__(self) -> None:
        """Nothing is shown before the first step; only the main process shows anything."""
        self._interrupt = _Interrupt()
        self.console = Screen(stderr=True, quiet=not ranks().main)
        self.bar = Progress(
            TextColumn("  {task.description:32}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            transient=True,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> ProgressListener:
        """Drawing starts with the first step: a mistake found before is one message alone."""
        self._interrupt.listen()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing, however the run ended."""
        self._interrupt.leave()
        if self.bar.live.is_started:
            self.bar.stop()

    def started(self, name: str, stage: str) -> None:
        """A bar without length appears."""
        self._interrupt.check()
        self.bar.start()
        self.task = self.bar.add_task(shown(name), total=None, note=shown(stage))

    def progress(self, done: int, total: int, note: str) -> None:
        """The bar moves; words without a number are a line that stays."""
        self._interrupt.check()
        if total == 0:
            self.console.print(f"  {note}", style="dim")
        elif self.task is not None:
            self.bar.update(self.task, completed=done, total=total, note=shown(note))

    def finished(self, name: str, seconds: float, reused: bool) -> None:
        """The bar becomes a line."""
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None
        what = "kept" if reused else f"{seconds:.0f} s"
        line = words("  ").append("done", "green").append(f" {shown(name):32} ").append(what, "dim")
        self.console.print(line)
