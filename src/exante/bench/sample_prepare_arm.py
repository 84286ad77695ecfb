"""What both samplers share: weights and prompts of one workload."""

from __future__ import annotations

import random

from exante.bench.data import FIRST_WORD
from exante.bench.meter import Meter
from exante.bench.sampling_request import PreparedPrompts, Prompt, SampleRequest
from exante.bench.sampling_spec import SamplingSpec
from exante.bench.weights import save_random_model
from exante.miniature.prompts import examples
from exante.models.folders import MINIATURE, resolve, weights_fingerprint
from exante.models.load import load_chat
from exante.records import write_jsonl


def run(request: SampleRequest, _: Meter) -> PreparedPrompts:
    """Write the prompts, and the random model's folder if the workload is one of equal lengths."""
    spec, count = request.spec, request.spec.count(request.workload)
    if request.workload == "equal":
        folder = request.model
        save_random_model(folder, spec.shape, spec.seed, endless=True)
        prompts = random_prompts(spec)
    else:
        folder = resolve(MINIATURE)
        prompts = miniature_prompts(count, spec.seed)
    write_jsonl(request.prompts, prompts)
    return PreparedPrompts(
        model=folder, weights_hash=weights_fingerprint(folder), prompts=len(prompts)
    )


def random_prompts(spec: SamplingSpec) -> list[Prompt]:
    """Seeded words; their lengths are uniform within the spec's bounds."""
    rng = random.Random(f"prompts {spec.seed}")
    words = range(FIRST_WORD, spec.shape.vocabulary)
    return [
        Prompt(ids=tuple(rng.choices(words, k=rng.randint(*spec.prompt_tokens))))
        for _ in range(spec.prompts)
    ]


def miniature_prompts(count: int, seed: int) -> list[Prompt]:
    """Seeded test prompts of the embedded world, harmful and benign in turn."""
    rng, chat, test = (
        random.Random(f"asks {seed}"),
        load_chat(resolve(MINIATURE)),
        examples()["test"],
    )
    half = -(-count // 2)
    kinds = [
        rng.sample([example for example in test if example.kind == kind], half)
        for kind in ("harmful", "benign")
    ]
    asked = [example for both in zip(*kinds, strict=True) for example in both]
    return [Prompt(ids=chat.prompt_ids(example.messages)) for example in asked[:count]]
