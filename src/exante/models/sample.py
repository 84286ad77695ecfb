"""Prompts to turns, seeded, with log-probs of the distribution that is trained.

A prompt is read once for all its samples that start together, a row that ends makes room for the
next one, and rows of any age are decoded together. Each row draws from its own random stream, named
after seed, request and sample, so a row's text does not depend on which other rows happen to be
beside it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Protocol

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from transformers import DynamicCache

from exante.errors import InputError
from exante.models.cache import SlotCache, has_slots, left_after, token_bytes
from exante.models.forward import logits_of
from exante.models.masks import added, per_kind
from exante.models.memory import release
from exante.models.padded import right_padded

CACHE_BYTES = 512 << 20
"""Memory for keys and values on a CPU, unless `batch_size` asks for another number of rows."""
_CACHE_SHARE = 0.5
"""Of a GPU's memory beside the weights."""
_OWN_GPU = 0.8
"""Share of that memory which is free where nobody else uses the GPU; drivers and kernels take some,
and more in a process that has trained before."""
_BLOCK = {"cpu": 4, "cuda": 16}
"""Rows of a block, in slots: the slots run empty at its end, and a kill costs at most as much. On a
CPU a step of few rows is a short one; on a GPU it takes as long as one of many, and ends must be
rare."""
MOST_ROWS = 512
FEWEST_ROWS = 8
_REFILL = {"cpu": 1 / 8, "cuda": 7 / 8}
"""New rows are admitted when no more than this share of the slots is in use. Attention reads as
many columns as the oldest row has, so that young rows beside old ones cost a CPU, which is bound by
memory, more than empty slots do. The share on a GPU has not been measured."""


class SamplingSettings(BaseModel):
    """How turns are sampled."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    n: int = Field(default=1, ge=1)
    """Turns per prompt."""
    max_new_tokens: int = Field(default=192, ge=1)
    """Most tokens sampled for one turn; a turn that reaches it is marked `length`."""
    temperature: float = Field(default=0.0, ge=0.0)
    """0 takes the most likely token."""
    seed: int = 0
    """Seeds the random stream of every row."""
    batch_size: int | None = Field(default=None, ge=1)
    """Rows decoded together; None takes as many as fit into a fixed share of memory."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the weights while sampling; `auto` is bfloat16 on GPUs that have it, else float32."""
    engine: Literal["exante", "vllm"] = "exante"
    """`vllm` samples in a process of its own; read by the sample step."""
    gpus: int = Field(default=1, ge=1)
    """Over how many vLLM splits the model (tensor parallelism)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to answer."""

    id: str
    prompt_ids: tuple[int, ...]
    forced_ids: tuple[int, ...] = ()
    """First tokens of the turn, put there and not sampled."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sampled turn."""

    id: str
    sample: int
    token_ids: tuple[int, ...]
    """The whole turn: forced tokens, sampled tokens, its end if it came."""
    logprobs: tuple[float, ...]
    """Of each token of the turn, forced ones included, in nats, at temperature 1."""
    finish: Literal["stop", "length"]


class Ends(Protocol):
    """The special tokens that sampling needs to know; a `Chat` has them."""

    @property
    def stop_ids(self) -> Collection[int]:
        """The tokens that end a turn."""
        ...

    @property
    def pad_id(self) -> int:
        """What fills rows of a batch."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One turn to be sampled, known by its identity: two may ask for the same."""

    request: Request
    sample: int

    @property
    def start(self) -> tuple[int, ...]:
        """What is read before the first token is sampled."""
        return self.request.prompt_ids + self.request.forced_ids

    @property
    def parts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Rows of equal parts are read once."""
        return self.request.prompt_ids, self.request.forced_ids


def sample(
    model: Any,
    chat: Ends,
    requests: Sequence[Request],
    settings: SamplingSettings,
    done: Collection[tuple[str, int]] = (),
) -> Iterator[Sampled]:
    """All turns of all requests, each as soon as it ends: not in the order of the requests.

    Which rows are decoded beside each other rounds sums, and so moves log-probs in their last
    digits. Rows are therefore taken in blocks that are the same whatever is `done` (request and
    sample): a block of which everything is done is passed over, any other one is sampled whole.

    Raises:
        InputError: the model keeps something else than keys and values between tokens.
    """
    if not has_slots(model.config):
        raise InputError(
            f"cannot sample from {type(model).__name__}: its layers keep a state",
            fix="use a model with attention in every layer",
        )
    ordered = sorted(requests, key=lambda r: len(r.prompt_ids) + len(r.forced_ids))
    if ordered:
        longest = len(ordered[-1].prompt_ids) + len(ordered[-1].forced_ids)
        columns = longest + settings.max_new_tokens
        turns = [Row(r, i) for r in ordered for i in range(settings.n)]
        rows = min(settings.batch_size or rows_that_fit(model, columns), len(turns))
        decoder = Decoder(model, chat, settings, SlotCache(model.config, rows, columns))
        size = rows * _BLOCK.get(model.device.type, 16)
        for first in range(0, len(turns), size):
            block = turns[first : first + size]
            if any((row.request.id, row.sample) not in done for row in block):
                yield from decoder.run(deque(block))


class Decoder:
    """Rows in slots; what is kept per row has one entry per slot, the first `live` in use."""

    def __init__(
        self, model: Any, chat: Ends, settings: SamplingSettings, cache: SlotCache
    ) -> None:
        self.model, self.chat, self.settings, self.cache = model, chat, settings, cache
        rows = cache.slots.rows
        self.rows: list[Row] = []
        self.device = model.device
        self.stops = torch.tensor(sorted(chat.stop_ids), device=self.device)
        longest = settings.max_new_tokens
        self.tokens = torch.zeros(rows, longest, dtype=torch.long, device=self.device)
        self.logprobs = torch.zeros(rows, longest, device=self.device)
        self.uniforms = torch.zeros(rows, longest if settings.temperature else 0)
        self.uniforms = self.uniforms.to(self.device)
        self.counts = torch.zeros(rows, dtype=torch.long, device=self.device)
        self.forced: list[tuple[float, ...]] = []

    @torch.inference_mode()
    def run(self, waiting: deque[Row]) -> Iterator[Sampled]:
        """Decode all that wait; turns come as they end."""
        slots = self.cache.slots
        while waiting or slots.live:
            free = slots.rows - slots.live
            if waiting and slots.live <= slots.rows * _REFILL.get(self.device.type, 7 / 8):
                states = self.admit([waiting.popleft() for _ in range(min(free, len(waiting)))])
                first = slots.live - len(states)
            else:
                states, first = self.step(), 0
            yield from self._choose(states, first)

    def admit(self, rows: list[Row]) -> Tensor:
        """Read each new prompt once; returns the last state of every new row."""
        starts = [list(group) for _, group in groupby(rows, key=lambda row: row.parts)]
        ids, mask = right_padded([group[0].start for group in starts], self.chat.pad_id)
        prompts = DynamicCache()
        states = self.model.get_decoder()(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            past_key_values=prompts,
            use_cache=True,
        ).last_hidden_state
        sources = [number for number, group in enumerate(starts) for _ in group]
        ends = mask.sum(1)[sources].to(self.device)
        where = torch.tensor(sources, device=self.device)
        first = self.cache.slots.live
        self.cache.admit(prompts, where, ends)
        last = first + len(rows)
        self.counts[first:last] = 0
        if self.settings.temperature:
            drawn = np.stack([self.drawn(row) for row in rows])
            self.uniforms[first:last] = torch.from_numpy(drawn).to(self.uniforms)
        forced = [self._forced(states[number], group[0]) for number, group in enumerate(starts)]
        self.forced += [forced[number] for number in sources]
        self.rows += rows
        latest: Tensor = states[where, ends - 1]
        return latest

    def drawn(self, row: Row) -> np.ndarray:
        """The random numbers of a row, one per token that it may have."""
        return uniforms_of(row, self.settings)

    def _forced(self, states: Tensor, row: Row) -> tuple[float, ...]:
        """Log-probs of the tokens that were put at the start of the turn."""
        count = len(row.request.forced_ids)
        if not count:
            return ()
        start = len(row.request.prompt_ids) - 1
        logits = self.logits(states[start : start + count])
        targets = torch.tensor(row.request.forced_ids, device=self.device)
        return tuple((logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(-1)).tolist())

    def step(self) -> Tensor:
        """Run every row's latest token; returns its state."""
        slots = self.cache.slots
        slots.open()
        tokens = self.tokens[slots.places, self.counts[: slots.live] - 1]
        states = self.model.get_decoder()(
            input_ids=tokens[:, None],
            attention_mask=per_kind(self.model.config, self._seen),
            position_ids=slots.at[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        slots.at = slots.at + 1
        latest: Tensor = states[:, 0]
        return latest

    def _seen(self, window: int | None) -> Tensor:
        """Each row sees its own columns, (rows, 1, 1, width), as attention adds it."""
        slots = self.cache.slots
        back = slots.at[:, None] - torch.arange(slots.width, device=self.device)
        seen = back >= 0 if window is None else (back >= 0) & (back < window)
        return added(seen, self.model.dtype)[:, None, None]

    def _choose(self, states: Tensor, first: int) -> Iterator[Sampled]:
        """The next token of the rows from `first` on; rows that end with it leave."""
        live = self.cache.slots.live
        rows = torch.arange(first, live, device=self.device)
        counts = self.counts[first:live].clone()
        logits = self.logits(states)
        if self.settings.temperature == 0:
            tokens = logits.argmax(-1)
        else:
            tokens = draw(logits / self.settings.temperature, self.uniforms[rows, counts])
        logprobs = logits.gather(-1, tokens[:, None])[:, 0] - logits.logsumexp(-1)
        self.tokens[rows, counts], self.logprobs[rows, counts] = tokens, logprobs
        self.counts[first:live] = counts + 1
        stopped = torch.isin(tokens, self.stops)
        over = stopped | (counts + 1 == self.settings.max_new_tokens)
        ended = [first + place for place in over.nonzero()[:, 0].tolist()]
        if ended:
            yield from map(self._finished, ended)
            self.leave(ended)

    def leave(self, ended: list[int]) -> None:
        """Make room: rows at these places are over."""
        places = left_after(ended, self.cache.slots.live)
        stay = torch.tensor(places, dtype=torch.long, device=self.device)
        self.cache.keep(stay)
        for held in (self.tokens, self.logprobs, self.uniforms, self.counts):
            held[: len(stay)] = held[stay]
        self.rows = [self.rows[place] for place in places]
        self.forced = [self.forced[place] for place in places]

    def _finished(self, place: int) -> Sampled:
        row, count = self.rows[place], int(self.counts[place])
        tokens = self.tokens[place, :count].tolist()
        return Sampled(
            id=row.request.id,
            sample=row.sample,
            token_ids=(*row.request.forced_ids, *tokens),
            logprobs=(*self.forced[place], *self.logprobs[place, :count].tolist()),
            finish="stop" if tokens[-1] in self.chat.stop_ids else "length",
        )

    def logits(self, states: Tensor) -> Tensor:
        """Of the next tokens, (rows, vocabulary), float32."""
        return logits_of(self.model, states).float()


def draw(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Tokens by the inverse of the cumulative distribution; logits are (rows, vocabulary)."""
    cumulative = torch.softmax(logits, -1).cumsum(-1)
    # Scaled by the total, because a cumulative sum of floats ends a little beside 1.
    aims = uniforms[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, aims, right=True)[:, 0]
    return tokens.clamp(max=logits.shape[-1] - 1)


def rows_that_fit(model: Any, columns: int) -> int:
    """How many rows of so many tokens are decoded together, by the memory there is."""
    size = columns * token_bytes(model.config.get_text_config(), model.dtype.itemsize)
    room = _gpu_room(model) if model.device.type == "cuda" else CACHE_BYTES
    return max(FEWEST_ROWS, min(MOST_ROWS, int(room // size)))


def _gpu_room(model: Any) -> float:
    """Bytes for keys and values on a GPU.

    The same in every process that has the GPU to itself, whatever it did before: a sampling that is
    continued takes its rows in the same blocks. Beside other processes, by what these leave.
    """
    release()
    free, total = torch.cuda.mem_get_info(model.device)
    own = total - sum(weight.nbytes for weight in model.parameters())
    return _CACHE_SHARE * (own if free > _OWN_GPU * own else free)


def uniforms_of(row: Row, settings: SamplingSettings) -> np.ndarray:
    """Random numbers below 1, named after seed, request and sample."""
    name = f"{settings.seed} {row.request.id} {row.sample}".encode()
    seed = int.from_bytes(hashlib.sha256(name).digest()[:8], "little")
    return np.random.default_rng(seed).random(settings.max_new_tokens, dtype=np.float32)
