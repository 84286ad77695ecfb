"""Stands in for vLLM in tests: the part of its interface that our worker uses, on our sampler.

With `STANDIN_PLAY` it makes its turns up, and loads neither weights nor torch: `sound` ones to the
end; `torn:N` dies at the Nth batch with half a line written, `killed:N` is killed there; `strange`
gives a turn that ends in another way than it says.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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


Turns = Callable[[list[int], SamplingParams], RequestOutput]
"""A prompt and its forced tokens to the turn that follows."""


class LLM:
    def __init__(self, model: str, dtype: str, load_format: str, **options: Any) -> None:
        assert load_format == "safetensors"
        assert options["trust_remote_code"] is False
        play = os.environ.get("STANDIN_PLAY")
        self.turn = _sampled(Path(model), dtype) if play is None else _made_up
        self.fault, _, when = (play or "").partition(":")
        self.when, self.batches = int(when or 0), 0

    def generate(
        self, prompts: list[dict[str, list[int]]], params: list[SamplingParams], *, use_tqdm: bool
    ) -> list[RequestOutput]:
        self.batches += 1
        if self.batches == self.when:
            if self.fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            out = json.loads(Path(sys.argv[1]).read_text())["out"]
            with Path(out).open("a") as file:
                file.write('{"id": "p')
            print("the engine core died", file=sys.stderr, flush=True)
            os._exit(1)
        made = [
            self.turn(p["prompt_token_ids"], one) for p, one in zip(prompts, params, strict=True)
        ]
        if self.fault == "strange":
            made[0].outputs[0].finish_reason = "stop"
        return made


def _made_up(ids: list[int], params: SamplingParams) -> RequestOutput:
    """One token for as long as it may be, which ends no turn."""
    known: list[dict[int, Logprob] | None] = [None, *({token: Logprob(-1.0)} for token in ids[1:])]
    tokens = [5] * params.max_tokens
    output = CompletionOutput(tokens, [{5: Logprob(-1.0)} for _ in tokens], "length")
    return RequestOutput([output], None if params.prompt_logprobs is None else known)


def _sampled(model: Path, dtype: str) -> Turns:
    """By the weights in the folder."""
    from exante.models.load import load_chat, load_model
    from exante.models.sample import Request, SamplingSettings, sample

    loaded, chat = load_model(model, dtype=dtype), load_chat(model)

    def turn(ids: list[int], params: SamplingParams) -> RequestOutput:
        settings = SamplingSettings(
            max_new_tokens=params.max_tokens, temperature=params.temperature, seed=params.seed
        )
        request = Request("one", tuple(ids[:1]), tuple(ids[1:]))
        (found,) = sample(loaded, chat, [request], settings)
        known = [
            {token: Logprob(value)}
            for token, value in zip(found.token_ids, found.logprobs, strict=True)
        ]
        count = len(ids) - 1
        output = CompletionOutput(list(found.token_ids[count:]), known[count:], found.finish)
        before = None if params.prompt_logprobs is None else [None, *known[:count]]
        return RequestOutput([output], before)

    return turn
