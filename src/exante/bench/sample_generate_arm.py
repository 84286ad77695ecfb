"""The other side: `generate` of transformers on the given prompts; used by name only."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import ContinuousBatchingConfig

from exante.bench.meter import Meter
from exante.bench.sampled import accepted, drawn, prompts_of, timed
from exante.bench.sampling_request import Drawn, GenerateSettings, Prompt, SampleRequest, Turn
from exante.bench.weights import chat_of
from exante.errors import RunError
from exante.models.load import load_model

_PAGE = 256
"""Tokens of a page of the continuous batcher, its default."""
_PROMPT_TOKENS = 512
"""Least tokens of one of its steps on a CPU, where it has no memory to take its own choice from."""

Rows = list[tuple[int, list[int]]]
"""The prompt's number and the new tokens, padding included."""


def run(request: SampleRequest, meter: Meter) -> Drawn:
    """Answer all prompts under the request's `GenerateSettings`.

    Raises:
        RunError: the request has no such settings, or a row failed.
    """
    settings, spec = request.setup.generate, request.spec
    if settings is None:
        raise RunError("no settings of generate were given", where=request.name)
    eos_id = chat_of(request.model).eos_id
    model = load_model(request.model, dtype=request.setup.precision, device=spec.device)
    model.set_attn_implementation(settings.attention)
    meter.model_loaded(model)
    prompts = prompts_of(request)
    side = _Continuous if settings.continuous else _Plain
    sampler = side(model, request, settings, prompts)
    torch.manual_seed(spec.seed)
    whole_call = settings.continuous or settings.cache == "static"
    count = settings.prompts_per_call if whole_call else spec.warmup_prompts
    order = _order(prompts, settings)
    try:
        # What is compiled for a shape, or sized for a load, must be so before the clock starts.
        sampler.answers(order[:count])
        rows, seconds = timed(spec.device, lambda: sampler.answers(order))
    finally:
        sampler.close()
    turns = [Turn(prompt=place, token_ids=accepted(ids, eos_id)) for place, ids in rows]
    return drawn(request, turns, seconds)


class _Plain:
    """Calls of `generate`, each with its prompts padded on the left."""

    def __init__(
        self, model: Any, request: SampleRequest, settings: GenerateSettings, prompts: list[Prompt]
    ) -> None:
        self.model, self.settings, self.prompts = model, settings, prompts
        self.draw = request.draw
        self.config = copy.deepcopy(model.generation_config)
        self.config.update(
            max_new_tokens=self.draw.new_tokens,
            num_return_sequences=self.draw.n,
            do_sample=not self.draw.greedy,
            cache_implementation="static" if settings.cache == "static" else None,
        )
        if not self.draw.greedy:
            # The model's own distribution: by default only its 50 likeliest tokens are drawn.
            self.config.update(temperature=1.0, top_k=0, top_p=1.0)
        longest = max(len(prompt.ids) for prompt in prompts)
        # A static cache is compiled for its width: one width for all calls.
        self.width = longest if settings.cache == "static" else 0

    def answers(self, order: Sequence[int]) -> Rows:
        """New tokens of all samples of these prompts."""
        size = self.settings.prompts_per_call
        calls = [order[first : first + size] for first in range(0, len(order), size)]
        return [row for call in calls for row in self._call(call)]

    def close(self) -> None:
        """Nothing stays."""

    def _call(self, places: Sequence[int]) -> Rows:
        ids = [self.prompts[place].ids for place in places]
        width = max(self.width, *map(len, ids))
        pad = self.model.generation_config.pad_token_id
        padded = [[*[pad] * (width - len(i)), *i] for i in ids]
        mask = [[0] * (width - len(i)) + [1] * len(i) for i in ids]
        found = self.model.generate(
            input_ids=torch.tensor(padded, device=self.model.device),
            attention_mask=torch.tensor(mask, device=self.model.device),
            generation_config=self.config,
        )
        rows = found[:, width:].tolist()
        return [(places[number // self.draw.n], row) for number, row in enumerate(rows)]


class _Continuous(_Plain):
    """`generate_batch`; its manager outlives the warm-up, as it would in a long run."""

    def __init__(
        self, model: Any, request: SampleRequest, settings: GenerateSettings, prompts: list[Prompt]
    ) -> None:
        super().__init__(model, request, settings, prompts)
        rows = settings.prompts_per_call * self.draw.n
        longest = max(len(prompt.ids) for prompt in prompts) + self.draw.new_tokens
        # On a GPU it sizes itself by free memory; on a CPU it would take nearly all there is.
        sizes: dict[str, Any] = {}
        if model.device.type == "cpu":
            sizes = {
                "num_blocks": rows * -(-longest // _PAGE),
                "max_batch_tokens": max(_PROMPT_TOKENS, rows, longest),
            }
        self.batching = ContinuousBatchingConfig(
            max_requests_per_batch=rows, seed=request.spec.seed, **sizes
        )

    def answers(self, order: Sequence[int]) -> Rows:
        """New tokens of all samples of these prompts."""
        found = list(
            self.model.generate_batch(
                [list(self.prompts[place].ids) for place in order],
                generation_config=self.config,
                continuous_batching_config=self.batching,
                persistent_manager=True,
            ).values()
        )
        errors = {str(row.error) for row in found if row.error is not None}
        if errors or len(found) != len(order) * self.draw.n:
            raise RunError(
                f"{len(found)} of {len(order) * self.draw.n} rows came back; "
                f"{'; '.join(sorted(errors)) or 'no error was given'}"
            )
        # Rows come back in the order of their prompts.
        return [
            (order[number // self.draw.n], list(row.generated_tokens))
            for number, row in enumerate(found)
        ]

    def close(self) -> None:
        """Stop its thread, so that the process can end."""
        self.model.destroy_cached_continuous_batching_manager()


def _order(prompts: Sequence[Prompt], settings: GenerateSettings) -> list[int]:
    places = range(len(prompts))
    if settings.by_length:
        return sorted(places, key=lambda place: len(prompts[place].ids))
    return list(places)
