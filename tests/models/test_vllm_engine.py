"""Sampling in a process of its own: files between the two, and what a process that dies leaves."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import tiny_model

from exante.errors import InputError, RunError
from exante.models import vllm_engine
from exante.models.load import load_chat, load_model
from exante.models.sample import Request, Sampled, SamplingSettings, sample
from exante.models.vllm_engine import PYTHON, TURNS, sample_apart

ROOT = Path(__file__).parents[2]
SETTINGS = SamplingSettings(max_new_tokens=6, engine="vllm")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("apart") / "tiny")


@pytest.fixture
def requests(model: Path, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Three prompts, one with forced tokens; the stand-in is what a worker imports as vLLM."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests/standin"), *sys.path]))
    monkeypatch.setattr(vllm_engine, "_TOGETHER", 1)
    chat = load_chat(model)
    prompts = [chat.encode(f"<s><user>How do I do this {n}?<bot>") for n in range(3)]
    return [
        Request(f"p{n}", ids, chat.encode("<think>") if n == 1 else ())
        for n, ids in enumerate(prompts)
    ]


def apart(
    model: Path, requests: list[Request], folder: Path, settings: SamplingSettings = SETTINGS
) -> list[Sampled]:
    stops = load_chat(model).stop_ids
    return list(sample_apart(model, stops, requests, settings, done=(), folder=folder))


def test_turns_are_those_of_the_weights_with_their_log_probs(
    model: Path, requests: list[Request], tmp_path: Path
) -> None:
    here = {t.id: t for t in sample(load_model(model), load_chat(model), requests, SETTINGS)}
    found = apart(model, requests, tmp_path)
    assert [turn.id for turn in found] == ["p0", "p1", "p2"]
    for turn in found:
        assert turn.token_ids == here[turn.id].token_ids
        assert turn.logprobs == pytest.approx(here[turn.id].logprobs, abs=1e-4)
        assert turn.finish == here[turn.id].finish


def test_samples_of_a_prompt_differ(model: Path, requests: list[Request], tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"n": 2, "temperature": 1.0, "seed": 3})
    first, second = apart(model, requests[:1], tmp_path, settings)
    assert (first.sample, second.sample) == (0, 1)
    assert first.token_ids != second.token_ids


def test_a_process_that_dies_is_one_message_and_only_what_is_owed_is_asked_again(
    model: Path,
    requests: list[Request],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STANDIN_PLAY", "torn:2")
    with pytest.raises(RunError, match="2 turns to go: the engine core died"):
        apart(model, requests, tmp_path)
    monkeypatch.setenv("STANDIN_PLAY", "sound")
    found = apart(model, requests, tmp_path)
    assert {turn.id for turn in found} == {"p0", "p1", "p2"}
    job = json.loads((tmp_path / "vllm.job.json").read_text())
    assert len(job["rows"]) == 2
    assert len((tmp_path / TURNS).read_text().splitlines()) == 3


def test_a_process_that_is_killed_is_said_and_what_it_wrote_is_kept(
    model: Path, requests: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_PLAY", "killed:3")
    with pytest.raises(RunError, match="vLLM was ended by SIGKILL and 1 turns to go") as caught:
        apart(model, requests, tmp_path)
    assert "finished turns are kept" in str(caught.value)
    before = (tmp_path / TURNS).read_text()
    assert len(before.splitlines()) == 2
    monkeypatch.setenv("STANDIN_PLAY", "sound")
    assert [turn.id for turn in apart(model, requests, tmp_path)] == ["p0", "p1", "p2"]
    assert (tmp_path / TURNS).read_text().startswith(before)


def test_lines_are_read_once_and_when_they_are_whole(tmp_path: Path) -> None:
    file = tmp_path / TURNS
    assert vllm_engine._whole_lines(file, 0) == ([], 0)
    file.write_bytes(b"one\ntwo\nth")
    assert vllm_engine._whole_lines(file, 0) == (["one", "two"], 8)
    file.write_bytes(b"one\ntwo\nthree\n")
    assert vllm_engine._whole_lines(file, 8) == (["three"], 14)


def test_a_log_that_ends_in_half_a_character_is_told(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_bytes("no memory: 16 µ".encode()[:-1] + b"\n")
    assert vllm_engine._last_words(log) == "no memory: 16 \ufffd"


def test_what_is_done_is_not_asked_for(
    model: Path, requests: list[Request], tmp_path: Path
) -> None:
    done = {("p0", 0), ("p1", 0), ("p2", 0)}
    stops = load_chat(model).stop_ids
    assert list(sample_apart(model, stops, requests, SETTINGS, done=done, folder=tmp_path)) == []
    assert not (tmp_path / "vllm.job.json").exists()


def test_a_turn_that_does_not_fit_is_refused(
    model: Path, requests: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_PLAY", "strange")
    with pytest.raises(RunError, match="p0: the turn does not end as it says"):
        apart(model, requests, tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "p0"}', "faults in a line"),
        ("[]", "faults in a line"),
        (
            {"id": "p1", "sample": 0, "token_ids": [5], "logprobs": [0.0], "finish": "length"},
            "does not begin as it was made to",
        ),
        (
            {"id": "p0", "sample": 0, "token_ids": [5, 6], "logprobs": [0.0], "finish": "length"},
            "not as many",
        ),
    ],
)
def test_lines_that_do_not_fit_are_refused(
    model: Path, requests: list[Request], tmp_path: Path, line: Any, message: str
) -> None:
    text = line if isinstance(line, str) else json.dumps(line)
    (tmp_path / TURNS).write_text(text + "\n", encoding="utf-8")
    with pytest.raises(RunError, match=message):
        apart(model, requests, tmp_path)


def test_where_vllm_is_missing_the_way_out_is_told(
    model: Path, requests: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(InputError, match="not installed there.*\n.*exante\\[vllm\\]"):
        apart(model, requests, tmp_path)
    monkeypatch.setenv(PYTHON, "./no/such/python")
    with pytest.raises(InputError, match="cannot be started"):
        apart(model, requests, tmp_path)
