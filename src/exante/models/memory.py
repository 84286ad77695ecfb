"""How the process handles freed memory; nothing else."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


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
    return all(mallopt(option, _NEVER) == 1 for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
