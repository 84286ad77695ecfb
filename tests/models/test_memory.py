"""A setting either takes or says that it did not; it never fails."""

from __future__ import annotations

import gc
import os
import platform
import weakref

import pytest
from tests.commands import python

from exante.models.memory import keep_few_kernels, settled


def test_it_takes_on_glibc_and_is_harmless_elsewhere() -> None:
    code = "from exante.models.memory import keep_freed_memory as f; print(f(), f())"
    done = python("-c", code)
    expected = "True True" if platform.libc_ver()[0] == "glibc" else "False False"
    assert done.stdout.strip() == expected, done.stderr


def test_few_kernels_are_kept_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    keep_few_kernels()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    keep_few_kernels()
    assert int(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) < 1024


def test_cycles_made_within_are_still_collected_and_those_before_afterwards() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.me = self

    def gone(cycle: Cycle) -> weakref.ref[Cycle]:
        return weakref.ref(cycle)

    before = gone(held := Cycle())
    with settled():
        del held
        within = gone(Cycle())
        gc.collect()
        assert within() is None
        assert before() is not None
    gc.collect()
    assert before() is None
