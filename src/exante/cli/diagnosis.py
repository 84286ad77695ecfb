"""`exante doctor`: what this machine and installation can do, and what is wrong with it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from exante.cli.terminal import echo

State = Literal["ok", "note", "bad"]
_MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}
_LIBRARIES = (
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "datasets",
    "safetensors",
    "tokenizers",
)
EXTRAS = {
    "serve": ("uvicorn",),
    "qlora": ("bitsandbytes",),
    "vllm": ("vllm",),
    "inspect": ("inspect_ai",),
    "lmeval": ("lm_eval",),
    "deepspeed": ("deepspeed",),
    "trackers": ("tensorboard", "wandb"),
}
"""Packages of each extra, of which one is looked for."""
_SECRETS = ("EXANTE_API_KEY", "HF_TOKEN", "WANDB_API_KEY")
_SETTINGS = ("HF_HUB_OFFLINE", "HF_HOME", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
_GIB = 1 << 30
_ROOM_BYTES = 5 * _GIB
"""Free disk below which a note says so: a small model's run with checkpoints takes a few."""
_MINIATURE_BYTES = 4 * _GIB
"""Memory below which `exante align` on the miniature, which peaks at 2.6 GiB, gets tight."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    told: str
    fix: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Look at machine and installation; put its output into a bug report. Secrets are not shown.

    Exit code 1 if something keeps exante from working.

    Example: exante doctor
    """
    found = [finding for look in LOOKS.values() for finding in look()]
    if as_json:
        echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            echo(f"{_MARKS[finding.state]} {finding.name:20} {finding.told}")
            if finding.fix:
                echo(f"{'':25} fix: {finding.fix}")
    if any(finding.state == "bad" for finding in found):
        raise typer.Exit(1)


def _installation() -> Iterator[Finding]:
    yield Finding("exante", "ok", f"{version('exante')} in {Path(__file__).parents[1]}")
    yield Finding("python", "ok", f"{platform.python_version()}, {platform.platform()}")
    for name in _LIBRARIES:
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(
                name, "bad", "not installed", "pip install exante, in a fresh environment"
            )
    for extra, packages in EXTRAS.items():
        there = [name for name in packages if find_spec(name) is not None]
        told = ", ".join(f"{n} {_version(n)}" for n in there)
        told = told or f"not installed: pip install 'exante[{extra}]'"
        yield Finding(f"extra {extra}", "ok" if there else "note", told)


def _version(package: str) -> str:
    try:
        return version(package.replace("_", "-"))
    except PackageNotFoundError:
        return "of unknown version"


def _devices() -> Iterator[Finding]:
    import torch

    from exante.models.compiled import compiler_works
    from exante.models.devices import default_device, native_bfloat16

    device = default_device()
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        told = f"{about.name}, {about.total_memory / _GIB:.0f} GiB"
        yield Finding(f"cuda:{number}", "ok", told)
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    yield Finding("cpu", "ok" if device == "cpu" else "note", threads)
    has = native_bfloat16(device)
    yield Finding(
        "bfloat16",
        "ok" if has else "note",
        f"native on {device}" if has else f"not native on {device}: training runs in float32",
    )
    works = compiler_works(device.split(":")[0])
    yield Finding(
        "compiler",
        "ok" if works else "note",
        "torch.compile works" if works else "torch.compile does not work: training is slower",
        "" if works else "install g++ and the headers of Python (python3-dev)",
    )


def _room() -> Iterator[Finding]:
    memory = _memory()
    if memory is not None:
        tight = memory < _MINIATURE_BYTES
        yield Finding("memory", "note" if tight else "ok", f"{memory / _GIB:.1f} GiB")
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    yield Finding(
        "disk",
        "ok" if free > _ROOM_BYTES else "note",
        f"{free / _GIB:.1f} GiB free here",
        "" if free > _ROOM_BYTES else "give --output a folder on a larger disk",
    )
    if not os.access(here, os.W_OK):
        yield Finding("folder", "note", f"{here} cannot be written", "give --output another folder")


def _memory() -> int | None:
    """Bytes of the machine's memory, or of the control group's if that is less."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="utf-8").strip() if limit.is_file() else ""
    return min(found, int(text)) if text.isdigit() else found


def _miniature() -> Iterator[Finding]:
    from exante.errors import InputError
    from exante.models.folders import MINIATURE, resolve, weights_fingerprint
    from exante.models.load import load_chat, load_model

    again = "install exante again"
    try:
        folder = resolve(MINIATURE)
        model = load_model(folder, device="cpu")
        load_chat(folder)
        built = json.loads((folder / "build.json").read_text(encoding="utf-8"))["sha256"]
    except (InputError, OSError, ValueError, LookupError) as error:
        yield Finding("miniature", "bad", str(error).splitlines()[0], again)
        return
    if weights_fingerprint(folder) == built:
        told = f"{model.num_parameters() / 1e6:.1f} million parameters, as built"
        yield Finding("miniature", "ok", told)
    else:
        yield Finding("miniature", "bad", "its files are not those that were built", again)


def _environment() -> Iterator[Finding]:
    for name in _SETTINGS:
        if name in os.environ:
            yield Finding(name, "note", os.environ[name])
    for name in _SECRETS:
        yield Finding(name, "ok", "set (not shown)" if os.environ.get(name) else "not set")
    # A stream that keeps text in memory has no encoding, and needs none.
    if not (sys.stdout.encoding or "utf-8").lower().startswith("utf"):
        fix = "set PYTHONUTF8=1"
        yield Finding("encoding", "note", f"the terminal writes {sys.stdout.encoding}", fix)


LOOKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "installation": _installation,
    "devices": _devices,
    "room": _room,
    "miniature": _miniature,
    "environment": _environment,
}
"""What is looked at, in order."""
