"""How the process handles freed memory; nothing else."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_SETTINGS = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 512 << 20}
"""Bytes. Larger blocks are returned at once: kept in the heap, they would tear it to pieces."""


def keep_freed_memory() -> bool:
    """Let glibc keep what a training step frees, because the next step asks for the same again.

    Otherwise every large tensor is returned to the system and its pages are zeroed anew, which was
    a third of a small model's training time on two cores. Returns whether it could be set; other C
    libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(mallopt(option, size) == 1 for option, size in _SETTINGS.items())
