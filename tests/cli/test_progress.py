"""Ctrl-C stops a run, also where Python drops it."""

from __future__ import annotations

import signal
import weakref
from pathlib import Path

import pytest

from exante.cli.progress import ProgressListener, watched
from exante.errors import RunError


class Thing:
    """Something that may be gone."""


def dropped() -> None:
    """Ctrl-C in the callback of a weak reference."""
    thing = Thing()
    told = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    assert told() is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_stops_the_run_at_its_next_sign() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ProgressListener() as listener:
        listener.progress(1, 2, "")
        dropped()
        with pytest.raises(KeyboardInterrupt):
            listener.progress(2, 2, "")
        with pytest.raises(KeyboardInterrupt):
            listener.started("next", "sft")
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the same command continues"), watched(tmp_path):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ProgressListener() as listener:
            signal.raise_signal(signal.SIGINT)
            listener.progress(1, 2, "")
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
