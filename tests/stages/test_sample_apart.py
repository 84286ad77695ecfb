"""The sample stage with vLLM beside it: the same artefact as with our own sampler."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.tiny import tiny_model
from tests.turns import quiet

from exante.records import Example, Generation, Message, read_jsonl, write_jsonl
from exante.stages.base import Inputs, perform
from exante.stages.sample import GENERATIONS, STAGE, SampleConfig
from exante.stages.source import STAGE as SOURCE
from exante.stages.source import SourceConfig

ROOT = Path(__file__).parents[2]


def test_a_step_may_be_sampled_by_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests/standin"), *sys.path]))
    source = SourceConfig(model=str(tiny_model(tmp_path / "tiny")))
    policy = perform(SOURCE, source, Inputs({}), tmp_path / "policy", quiet)
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    messages = (Message(role="user", content="How do I do this?"),)
    write_jsonl(prompts / "examples.jsonl", [Example(id="p", messages=messages, kind="benign")])
    (prompts / "stage.json").write_text('{"fingerprint": "f"}', encoding="utf-8")
    inputs = Inputs({"policy": {"policy": policy}, "prompts": {"prompts": prompts}})
    made = {}
    for engine in ("exante", "vllm"):
        config = SampleConfig.model_validate({"sampling": {"engine": engine, "max_new_tokens": 6}})
        folder = perform(STAGE, config, inputs, tmp_path / engine, quiet)
        (made[engine],) = read_jsonl(folder / GENERATIONS, Generation)
        assert not list(folder.glob("vllm.*"))
    assert made["vllm"].token_ids == made["exante"].token_ids
    assert made["vllm"].forced == made["exante"].forced > 0
    assert made["vllm"].scored_by == made["exante"].scored_by
    assert made["vllm"].logprobs == pytest.approx(made["exante"].logprobs, abs=1e-4)
