"""Samples turns of a policy on prompts, a batch at a time, and continues where it was stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from exante import traces
from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.load import (
    context_length,
    load_chat,
    load_model,
    sampling_dtype,
    weights_fingerprint,
)
from exante.models.sample import Request, Sampled, SamplingSettings, sample
from exante.records import Example, Generation, Kind, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.partial import put, resumed
from exante.stages.prompts import examples_of

GENERATIONS = "generations.jsonl"
_PARTIAL = "sampled.partial.jsonl"


class SampleConfig(Config):
    """How turns are sampled."""

    split: Literal["train", "validation", "test"] = "train"
    """Split of a source; ignored for prompts that have only one list."""
    kinds: tuple[Kind, ...] | None = None
    """Prompts of these kinds only; None takes all."""
    trace: traces.Start = "open"
    """`open` forces the start of the trace, as serving does; `free` forces nothing; `closed` forces
    an empty trace."""
    sampling: SamplingSettings = SamplingSettings()
    """Turns per prompt, temperature, length and seed."""


def run(config: SampleConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write one generation per prompt and sample, in the prompts' order."""
    folder = model_of(inputs.one("policy"))
    dtype = sampling_dtype(config.sampling.precision)
    model, chat = load_model(folder, dtype=dtype), load_chat(folder)
    asked = examples_of(inputs.one("prompts"), config.split)
    examples = [e for e in asked if config.kinds is None or e.kind in config.kinds]
    _require_room(examples, chat, model, config)
    before = resumed(out / _PARTIAL, Generation)
    done = {(g.example_id, g.sample): g for g in before}
    fingerprint = weights_fingerprint(folder)
    requests = {e.id: _request(e, chat, config) for e in examples}
    n = config.sampling.n
    waiting = [r for r in requests.values() if any((r.id, i) not in done for i in range(n))]
    with (out / _PARTIAL).open("a", encoding="utf-8") as file:
        for turn in sample(model, chat, waiting, config.sampling):
            generation = _generation(turn, requests[turn.id], chat, fingerprint)
            if (turn.id, turn.sample) not in done:
                done[turn.id, turn.sample] = generation
                put([generation], file)
            tell(len(done), len(requests) * n, "turns")
    ordered = [done[r.id, i] for r in requests.values() for i in range(n)]
    write_jsonl(out / GENERATIONS, ordered)
    (out / _PARTIAL).unlink()
    point_at(folder, out)
    return {
        "turns": len(ordered),
        "tokens": sum(len(g.token_ids) - g.forced for g in ordered),
        "truncated": sum(g.finish == "length" for g in ordered),
        "rendered": _rendered(requests.values()),
        "template": hashlib.sha256(str(chat.tokenizer.chat_template).encode()).hexdigest(),
        "dtype": dtype,
    }


def _rendered(requests: Iterable[Request]) -> str:
    """Hash of every prompt as the model read it, forced tokens included."""
    digest = hashlib.sha256()
    for request in requests:
        digest.update(json.dumps([request.id, request.prompt_ids, request.forced_ids]).encode())
    return digest.hexdigest()


def request_of(example: Example, chat: Chat, trace: traces.Start) -> Request:
    """The prompt as token ids, with what is forced: an attacker's prefill, or the trace's start."""
    text = example.prefill or traces.beginning(trace, chat.tag)
    return Request(example.id, chat.prompt_ids(example.messages), chat.encode(text) if text else ())


def _request(example: Example, chat: Chat, config: SampleConfig) -> Request:
    return request_of(example, chat, config.trace)


def _generation(turn: Sampled, request: Request, chat: Chat, fingerprint: str) -> Generation:
    return Generation(
        example_id=turn.id,
        sample=turn.sample,
        prompt_ids=request.prompt_ids,
        token_ids=turn.token_ids,
        logprobs=tuple(round(value, 5) for value in turn.logprobs),
        scored_by=fingerprint,
        forced=len(request.forced_ids),
        text=chat.decode(turn.token_ids),
        finish=turn.finish,
    )


def _require_room(
    examples: Sequence[Example], chat: Chat, model: object, config: SampleConfig
) -> None:
    """Prompt and turn must fit into what the model can read."""
    limit = context_length(model)
    for example in examples:
        request = _request(example, chat, config)
        start = len(request.prompt_ids) + len(request.forced_ids)
        length = start + config.sampling.max_new_tokens
        if length > limit:
            raise InputError(
                f"prompt and turn may take {length} tokens, the model reads {limit}",
                where=example.id,
                fix="lower sampling.max_new_tokens or shorten the prompt",
            )


STAGE = Stage("sample", 2, SampleConfig, run, reads=("policy", "prompts"))
