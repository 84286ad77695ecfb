"""Stands in for vLLM in tests: the part of its interface that our worker uses, on our sampler.

`STANDIN_FAULT` makes it fail: `torn:N` dies at the Nth batch with half a line written, `killed:N`
is killed there, `strange` gives a turn that ends in another way than it says.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exante.models.load import load_chat, load_model
from exante.models.sample import Request, SamplingSettings, sample


@dataclass
class SamplingParams:
    temperature: float
    max_tokens: int
    seed: int
    ignore_eos: bool
    stop_token_ids: list[int]
    logprobs: int
    prompt_logprobs: int | None
    detokenize: bool


@dataclass
class Logprob:
    logprob: float


@dataclass
class CompletionOutput:
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]]
    finish_reason: str


@dataclass
class RequestOutput:
    outputs: list[CompletionOutput]
    prompt_logprobs: list[dict[int, Logprob] | None] | None


class LLM:
    def __init__(self, model: str, dtype: str, load_format: str, **options: Any) -> None:
        assert load_format == "safetensors"
        assert options["trust_remote_code"] is False
        self.model, self.chat = load_model(Path(model), dtype=dtype), load_chat(Path(model))
        self.batches = 0

    def generate(
        self, prompts: list[dict[str, list[int]]], params: list[SamplingParams], *, use_tqdm: bool
    ) -> list[RequestOutput]:
        self.batches += 1
        fault, _, when = os.environ.get("STANDIN_FAULT", "").partition(":")
        if when and self.batches == int(when):
            if fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            out = json.loads(Path(sys.argv[1]).read_text())["out"]
            with Path(out).open("a") as file:
                file.write('{"id": "p')
            print("the engine core died", file=sys.stderr, flush=True)
            os._exit(1)
        made = [
            self._one(p["prompt_token_ids"], one) for p, one in zip(prompts, params, strict=True)
        ]
        if fault == "strange":
            made[0].outputs[0].finish_reason = "stop"
        return made

    def _one(self, ids: list[int], params: SamplingParams) -> RequestOutput:
        settings = SamplingSettings(
            max_new_tokens=params.max_tokens, temperature=params.temperature, seed=params.seed
        )
        request = Request("one", tuple(ids[:1]), tuple(ids[1:]))
        (turn,) = sample(self.model, self.chat, [request], settings)
        known = [
            {token: Logprob(value)}
            for token, value in zip(turn.token_ids, turn.logprobs, strict=True)
        ]
        count = len(ids) - 1
        return RequestOutput(
            [CompletionOutput(list(turn.token_ids[count:]), known[count:], turn.finish)],
            None if params.prompt_logprobs is None else [None, *known[:count]],
        )
