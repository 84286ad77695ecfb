"""exante's side: its sampler on the given prompts."""

from __future__ import annotations

from exante.bench.meter import Meter
from exante.bench.sampled import drawn, prompts_of, timed
from exante.bench.sampling_request import Drawn, SampleRequest, Turn
from exante.bench.weights import chat_of
from exante.models.load import load_model
from exante.models.sample import Request, Sampled, SamplingSettings, sample


def run(request: SampleRequest, meter: Meter) -> Drawn:
    """Answer all prompts; log-probs are computed, too, because exante's users always get them."""
    spec, draw = request.spec, request.draw
    chat = chat_of(request.model)
    model = load_model(request.model, dtype=request.setup.precision, device=spec.device)
    meter.model_loaded(model)
    settings = SamplingSettings(
        n=draw.n,
        max_new_tokens=draw.new_tokens,
        temperature=0.0 if draw.greedy else 1.0,
        seed=spec.seed,
    )
    asked = [Request(str(place), p.ids) for place, p in enumerate(prompts_of(request))]

    def answers(requests: list[Request]) -> list[Sampled]:
        calls = [[single] for single in requests] if draw.alone else [requests]
        return [turn for call in calls for turn in sample(model, chat, call, settings)]

    answers(asked[: spec.warmup_prompts])
    found, seconds = timed(spec.device, lambda: answers(asked))
    turns = [Turn(prompt=int(t.id), token_ids=t.token_ids, logprobs=t.logprobs) for t in found]
    return drawn(request, turns, seconds)
