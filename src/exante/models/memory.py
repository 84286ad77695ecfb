"""What the process keeps in memory for later use, and what it need not look through."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_SETTINGS = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 512 << 20}
"""Bytes. Larger blocks are returned at once: kept in the heap, they would tear it to pieces."""
_STATUS = Path("/proc/self/status")
_KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
_KEPT_KERNELS = 512


def tune_memory() -> None:
    """Both of the following; for a process that is about to train or sample."""
    keep_few_kernels()
    keep_freed_memory()


def keep_few_kernels() -> None:
    """Let oneDNN keep the kernels of the last shapes only, unless the environment says otherwise.

    It compiles one per shape and keeps 1024. Batches of text come in hundreds of shapes, and the
    kernels of a run of ten minutes filled one gigabyte of 4.6. Fewer than a training's own shapes
    would be built anew at every batch: with 64, a step of the miniature took 23 % longer.
    """
    os.environ.setdefault(_KERNELS, str(_KEPT_KERNELS))


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


@contextmanager
def settled() -> Iterator[None]:
    """Within, the collector of cycles passes over what exists at the beginning.

    Libraries and models are hundreds of thousands of objects: looking through them took 0.3 seconds
    in the middle of a training step of as much.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def release() -> None:
    """Give back what earlier work left: a model in a cycle of objects, a GPU's memory held ready.

    torch keeps what was freed for tensors to come, and to whoever asks the driver, or is another
    process, it looks taken.
    """
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def reset_peak(device: str) -> bool:
    """Begin to look for the highest use of memory anew; could that be done?"""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return status_bytes("VmHWM") <= status_bytes("VmRSS") * 1.05


def peak_bytes(device: str) -> int:
    """Most memory since `reset_peak`: of tensors on a GPU, of the whole process on a CPU."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return status_bytes("VmHWM")


def device_bytes(device: str) -> int:
    """Memory that a device has in all: of the first GPU, or of this machine."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def status_bytes(field: str) -> int:
    """A number of bytes that Linux tells about this process.

    Raises:
        RuntimeError: it does not tell it.
    """
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{_STATUS} has no field {field}")
