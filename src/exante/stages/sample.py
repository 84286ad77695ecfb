"""Samples turns of a policy on prompts, and continues where it was stopped with the same turns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from exante import traces
from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.devices import sampling_dtype
from exante.models.folders import context_limit, weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.ranks import alone, from_main, ranks, together
from exante.models.sample import Request, Sampled, SamplingSettings, sample
from exante.models.vllm_engine import remove_job, sample_apart
from exante.records import Example, Generation, Kind, write_jsonl
from exante.stages.base import (
    Config,
    Inputs,
    Stage,
    Summary,
    Tell,
    model_of,
    point_as,
    point_at,
)
from exante.stages.journal import Journal
from exante.stages.partial import forgotten, merged, own_file, put, resumed
from exante.stages.prompts import Split, examples_of
from exante.stages.served import Served, sample_served, served_of

GENERATIONS = "generations.jsonl"
_PARTIAL = "sampled.partial.jsonl"


class SampleConfig(Config):
    """How turns are sampled."""

    split: Split = "train"
    """Split of a source; ignored for prompts that have only one list."""
    kinds: tuple[Kind, ...] | None = None
    """Prompts of these kinds only; None takes all."""
    trace: traces.Start = "open"
    """`open` forces the start of the trace, as serving does; `free` forces nothing; `closed` forces
    an empty trace."""
    sampling: SamplingSettings = SamplingSettings()
    """Turns per prompt, temperature, length and seed."""


def run(config: SampleConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write one generation per prompt and sample, in the prompts' order.

    Of several processes, each samples a share of the prompts; what a turn says depends on prompt,
    sample and seed, and not on who sampled it.
    """
    policy = inputs.one("policy")
    if (served := served_of(policy)) is not None:
        if not ranks().main:
            return {}
        with alone():
            return _through_server(served, config, inputs, out, tell)
    folder = model_of(policy)
    chat, examples = load_chat(folder), _examples(config, inputs)
    _require_room(examples, chat, context_limit(folder), config)
    done = {(g.example_id, g.sample) for g in resumed(out / _PARTIAL, Generation)}
    fingerprint = from_main(lambda: weights_fingerprint(folder))
    requests = {e.id: _request(e, chat, config) for e in examples}
    places = range(config.sampling.n)
    own = _own(requests.values())
    have = sum((r.id, i) in done for r in own for i in places)
    with own_file(out / _PARTIAL).open("a", encoding="utf-8") as file:
        for turn in _turns(folder, chat, own, config.sampling, done, out):
            if (turn.id, turn.sample) not in done:
                have += 1
                put([_generation(turn, requests[turn.id], chat, fingerprint)], file)
                tell(have, len(own) * len(places), "turns")
    together()
    if not ranks().main:
        return {}
    found = {(g.example_id, g.sample): g for g in merged(out / _PARTIAL, Generation)}
    ordered = [found[r.id, i] for r in requests.values() for i in places]
    write_jsonl(out / GENERATIONS, ordered)
    forgotten(out / _PARTIAL)
    remove_job(out)
    point_at(folder, out)
    return {
        "turns": len(ordered),
        "tokens": sum(len(g.token_ids) - g.forced for g in ordered),
        "truncated": sum(g.finish == "length" for g in ordered),
        "rendered": _rendered(requests.values()),
        "template": hashlib.sha256(str(chat.tokenizer.chat_template).encode()).hexdigest(),
        "dtype": sampling_dtype(config.sampling.precision),
    }


def _own(requests: Iterable[Request]) -> list[Request]:
    """This process's share of the prompts: as many short and long ones as any other's."""
    return ranks().share(sorted(requests, key=lambda r: len(r.prompt_ids) + len(r.forced_ids)))


def _turns(
    folder: Path,
    chat: Chat,
    requests: Sequence[Request],
    settings: SamplingSettings,
    done: Collection[tuple[str, int]],
    out: Path,
) -> Iterator[Sampled]:
    """The turns of a saved model, as they come, from the engine asked for."""
    if settings.engine == "vllm":
        return sample_apart(folder, chat.stop_ids, requests, settings, done=done, folder=out)
    model = load_model(folder, dtype=sampling_dtype(settings.precision))
    return sample(model, chat, requests, settings, done)


def _examples(config: SampleConfig, inputs: Inputs) -> list[Example]:
    asked = examples_of(inputs.one("prompts"), config.split)
    return [e for e in asked if config.kinds is None or e.kind in config.kinds]


def _through_server(
    served: Served, config: SampleConfig, inputs: Inputs, out: Path, tell: Tell
) -> Summary:
    """The same for a policy behind a server.

    Raises:
        InputError: the start of a turn is to be forced.
    """
    if config.trace != "free":
        raise InputError(
            f"trace: {config.trace} puts text at the start of a turn, which no server takes",
            where=served.name,
            fix="trace: free, and open the trace where the model is served",
        )
    found = sample_served(served, _examples(config, inputs), config.sampling, out, tell)
    write_jsonl(out / GENERATIONS, found.turns)
    point_as(inputs.one("policy"), out)
    Journal(out).drop()
    return found.summary


def _rendered(requests: Iterable[Request]) -> str:
    """Hash of every prompt as the model read it, forced tokens included."""
    digest = hashlib.sha256()
    for request in requests:
        digest.update(json.dumps([request.id, request.prompt_ids, request.forced_ids]).encode())
    return digest.hexdigest()


def request_of(example: Example, chat: Chat, trace: traces.Start) -> Request:
    """The prompt as token ids, with what is forced: an attacker's prefill, or the trace's start."""
    text = example.prefill or chat.beginning(trace)
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
    examples: Sequence[Example], chat: Chat, limit: int, config: SampleConfig
) -> None:
    """Prompt and turn must fit into what the model can read."""
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


STAGE = Stage(
    "sample",
    4,
    SampleConfig,
    run,
    reads=("policy", "prompts"),
    # vLLM has processes of its own.
    parallel=lambda config: config.sampling.engine != "vllm",
)
