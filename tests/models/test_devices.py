"""Which precision is computed in: by what the device does itself, not by what it can imitate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from exante.models.devices import autocast, native_bfloat16, sampling_dtype


@pytest.mark.parametrize(
    ("machine", "avx512", "amx", "imitated", "native"),
    [
        ("x86_64", False, False, True, False),
        ("x86_64", True, False, True, True),
        ("AMD64", False, True, True, True),
        ("aarch64", False, False, True, True),
        ("arm64", False, False, False, False),
    ],
)
def test_a_cpu_that_imitates_bfloat16_trains_in_float32(
    machine: str,
    avx512: bool,
    amx: bool,
    imitated: bool,
    native: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: imitated)
    assert native_bfloat16("cpu") is native
    with autocast("cpu", "auto"):
        assert torch.is_autocast_enabled("cpu") is native
    with autocast("cpu", "bfloat16"):
        assert torch.is_autocast_enabled("cpu")


def test_this_machine_is_told_by_its_flags() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file() or "flags" not in (text := cpuinfo.read_text(encoding="utf-8")):
        pytest.skip("no Linux on x86: nothing to hold it against")
    flags = set(next(line for line in text.splitlines() if line.startswith("flags")).split())
    assert native_bfloat16("cpu") is bool(flags & {"avx512_bf16", "amx_bf16"})


def test_turns_are_sampled_on_a_cpu_by_the_weights_that_were_trained() -> None:
    assert sampling_dtype("auto", "cpu") == "float32"
    assert sampling_dtype("bfloat16", "cpu") == "bfloat16"
