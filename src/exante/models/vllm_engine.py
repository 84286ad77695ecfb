"""Turns from vLLM, started as a process of its own on saved weights, once per step.

Never in place: no weights are handed over in memory, so that what was sampled from is what lies on
the disk. Parent and child speak in files: a job of token ids goes out, a line per turn comes back.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from exante.durable import write_text
from exante.errors import InputError, RunError
from exante.models import vllm_worker
from exante.models.adapters import is_adapter
from exante.models.devices import sampling_dtype
from exante.models.memory import release
from exante.models.sample import Request, Sampled, SamplingSettings

PYTHON = "EXANTE_VLLM_PYTHON"
"""Environment variable: the Python of an environment with vLLM, if it is not this one."""
_LOOK_SECONDS = 0.2
_TOGETHER = 512
"""Turns sampled before they are written: many, for vLLM is fast with many, but not all."""
_JOB, _LOG = "vllm.job.json", "vllm.log"
TURNS = "vllm.turns.jsonl"
Key = tuple[str, int]
"""Id of a request, and number of a sample."""


class _Line(BaseModel):
    """One turn as the worker writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    sample: int
    token_ids: list[int]
    logprobs: list[float]
    finish: Literal["stop", "length"]


def sample_apart(
    model: Path,
    stop_ids: frozenset[int],
    requests: Sequence[Request],
    settings: SamplingSettings,
    *,
    done: Collection[Key],
    folder: Path,
) -> Iterator[Sampled]:
    """The turns that are not `done`, as they come; those of an interrupted process first.

    A turn ends with any of `stop_ids`.

    `folder` holds what goes between the processes, until the caller removes it.

    Raises:
        InputError: vLLM is not installed where it is looked for, or the model is an adapter.
        RunError: the process failed, or gave something else than it was asked for.
    """
    if is_adapter(model):
        raise InputError(
            "vLLM is given whole weights, and this is an adapter",
            where=str(model),
            fix="set train.lora.save: merged in the step before, or sample without engine: vllm",
        )
    asked = {
        (request.id, sample): request
        for request in requests
        for sample in range(settings.n)
        if (request.id, sample) not in done
    }
    turns = folder / TURNS
    whole, _ = _whole_lines(turns, 0)
    # A torn line is of a process that was killed; what follows begins on a line of its own.
    write_text(turns, "".join(line + "\n" for line in whole))
    for line in whole:
        turn = _checked(line, asked, stop_ids)
        if turn is not None:
            del asked[turn.id, turn.sample]
            yield turn
    if asked:
        job = _job(model, stop_ids, asked, settings, turns)
        write_text(folder / _JOB, json.dumps(job))
        # vLLM takes nearly all of a GPU, and asks for it at once.
        release()
        yield from _worked_off(folder, asked, stop_ids, turns.stat().st_size)


def remove_job(folder: Path) -> None:
    """Remove what went between the processes."""
    for name in (_JOB, _LOG, TURNS):
        (folder / name).unlink(missing_ok=True)


def _job(
    model: Path,
    stop_ids: frozenset[int],
    asked: Mapping[Key, Request],
    settings: SamplingSettings,
    out: Path,
) -> dict[str, Any]:
    longest = max(len(one.prompt_ids) + len(one.forced_ids) for one in asked.values())
    return {
        "model": str(model.resolve()),
        "dtype": sampling_dtype(settings.precision),
        "together": _TOGETHER,
        "gpus": settings.gpus,
        "longest": longest + settings.max_new_tokens,
        "stop_ids": sorted(stop_ids),
        "temperature": settings.temperature,
        "max_new_tokens": settings.max_new_tokens,
        "out": str(out.resolve()),
        "rows": [
            {
                "id": name,
                "sample": sample,
                "prompt_ids": list(request.prompt_ids),
                "forced_ids": list(request.forced_ids),
                "seed": _seed(settings.seed, name, sample),
            }
            for (name, sample), request in asked.items()
        ],
    }


def _worked_off(
    folder: Path, asked: dict[Key, Request], stop_ids: frozenset[int], start: int
) -> Iterator[Sampled]:
    """Start the worker, and tell the turns it writes behind the first `start` bytes."""
    command = [os.environ.get(PYTHON) or sys.executable, vllm_worker.__file__, str(folder / _JOB)]
    with (folder / _LOG).open("w", encoding="utf-8") as log:
        try:
            worker = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise InputError(f"cannot be started: {error}", where=command[0], fix=_FIX) from None
        try:
            ended = False
            while not ended:
                ended = worker.poll() is not None
                lines, start = _whole_lines(folder / TURNS, start)
                for line in lines:
                    turn = _checked(line, asked, stop_ids)
                    if turn is not None:
                        del asked[turn.id, turn.sample]
                        yield turn
                if not ended:
                    time.sleep(_LOOK_SECONDS)
        finally:
            worker.kill()
            worker.wait()
    if worker.returncode == vllm_worker.MISSING:
        raise InputError("vLLM is not installed there", where=command[0], fix=_FIX)
    if worker.returncode or asked:
        raise RunError(
            f"vLLM {_end(worker.returncode)} and {len(asked)} turns to go: "
            f"{_last_words(folder / _LOG)}",
            where=str(folder / _LOG),
            fix="see that file; then give the same command again: finished turns are kept",
        )


_FIX = f"pip install 'exante[vllm]', or set {PYTHON} to the Python of an environment that has it"


def _checked(line: str, asked: Mapping[Key, Request], stop_ids: frozenset[int]) -> Sampled | None:
    """The turn of a line; None if it is not (or no longer) asked for.

    Raises:
        RunError: the line is no turn, or does not fit what was asked.
    """
    try:
        found = _Line.model_validate_json(line)
    except ValidationError as error:
        raise _strange(f"{error.error_count()} faults in a line") from None
    request = asked.get((found.id, found.sample))
    if request is None:
        return None
    if tuple(found.token_ids[: len(request.forced_ids)]) != request.forced_ids:
        raise _strange(f"{found.id}: the turn does not begin as it was made to")
    if len(found.logprobs) != len(found.token_ids):
        raise _strange(f"{found.id}: tokens and log-probs are not as many")
    if (found.finish == "stop") != (not stop_ids.isdisjoint(found.token_ids[-1:])):
        raise _strange(f"{found.id}: the turn does not end as it says")
    return Sampled(
        id=found.id,
        sample=found.sample,
        token_ids=tuple(found.token_ids),
        logprobs=tuple(found.logprobs),
        finish=found.finish,
    )


def _strange(problem: str) -> RunError:
    return RunError(
        f"vLLM gave something else than was asked: {problem}",
        fix="this may be a version of vLLM that exante does not know; see docs/servers.md",
    )


def _whole_lines(path: Path, start: int) -> tuple[list[str], int]:
    """The whole lines behind the first `start` bytes of a file, and where the next one begins."""
    if not path.is_file():
        return [], start
    with path.open("rb") as file:
        file.seek(start)
        found = file.read()
    whole = found[: found.rfind(b"\n") + 1]
    return whole.decode("utf-8", "replace").split("\n")[:-1], start + len(whole)


def _last_words(log: Path) -> str:
    # A process that is killed may leave half a character.
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:200] if said else "it said nothing"


def _end(code: int) -> str:
    """How the process ended; one that was killed says nothing itself."""
    return f"was ended by {Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _seed(seed: int, name: str, sample: int) -> int:
    digest = hashlib.sha256(f"{seed} {name} {sample}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
