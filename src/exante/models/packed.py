"""Prompts and all their responses in common rows: nothing is padded twice, no prompt read twice.

A group is laid out as `prompt | response 1 | response 2 | ...`. Positions start anew behind the
prompt for each response, and a response sees its prompt and itself, so every log-prob is that of
the plain row `prompt | response`. The last token of a response predicts nothing and is not run.
Groups that fit beside each other share a row. (Prefix sharing: arXiv 2410.20305, 2506.05433.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

Ids = tuple[int, ...]
NOBODY = -1
"""Group number of padding."""


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt and the responses to it whose log-probs are wanted."""

    prompt: Ids
    responses: tuple[Ids, ...]
    targets: tuple[Ids, ...] = ()
    """Of each response, the token that is scored in the place of each of its own, by the state that
    read the response; empty scores the responses themselves."""

    def __post_init__(self) -> None:
        """Refuse targets that stand for no token."""
        if self.targets and list(map(len, self.targets)) != list(map(len, self.responses)):
            raise ValueError("one target per token of each response, or none at all")

    @property
    def scored(self) -> tuple[Ids, ...]:
        """The tokens of each response whose log-probs are wanted."""
        return self.targets or self.responses

    @property
    def tokens(self) -> int:
        """Tokens that run through the model when the prompt is shared."""
        return len(self.prompt) + sum(len(response) - 1 for response in self.responses)


@dataclass(frozen=True, slots=True)
class Packed:
    """Groups in rows, and which states predict which tokens.

    The first four are (rows, width); the others have one entry per response token, in the order of
    groups, responses and tokens.
    """

    ids: Tensor
    positions: Tensor
    """Of a token in its own prompt and response."""
    group: Tensor
    """Number of the group in this batch, -1 for padding."""
    response: Tensor
    """0 in the prompt, else the number of the response in its group, from 1."""
    sources: Tensor
    """Place, in the flattened rows, of the state that predicts the token."""
    targets: Tensor
    """The token that is scored."""
    owners: Tensor
    """Number of its response in this batch."""

    def inputs(self) -> dict[str, Tensor]:
        """What `response_logprobs_of` needs, by the names of its parameters."""
        names = ("ids", "positions", "group", "response", "sources", "targets")
        return {name: getattr(self, name) for name in names}


def grouped(rows: Iterable[tuple[Ids, Ids]]) -> list[Group]:
    """Rows (prompt, response) with the same prompt as one group; each response once, in order."""
    responses: dict[Ids, dict[Ids, None]] = {}
    for prompt, response in rows:
        responses.setdefault(prompt, {})[response] = None
    return [Group(prompt, tuple(found)) for prompt, found in responses.items()]


def within_budget(groups: Iterable[Group], tokens: int) -> Iterator[list[Group]]:
    """The groups in their order, cut into batches that take no more than `tokens` when padded."""
    batch: list[Group] = []
    longest = 0
    for group in groups:
        longest = max(longest, group.tokens)
        if batch and (len(batch) + 1) * longest > tokens:
            yield batch
            batch, longest = [], group.tokens
        batch.append(group)
    if batch:
        yield batch


def pack(
    groups: Sequence[Group], pad_id: int, *, shared: bool = True, multiple: int = 16
) -> Packed:
    """The groups as one batch; rows are as wide as the longest group, up to a `multiple`.

    With `shared=False` every response gets a row of its own, with its prompt: what any causal model
    can read.
    """
    parts = list(groups) if shared else [alone for group in groups for alone in _alone(group)]
    lengths = [part.tokens for part in parts]
    rows = _first_fit(lengths, multiple) if shared else [[n] for n in range(len(parts))]
    width = -(-max(lengths) // multiple) * multiple
    ids = torch.full((len(rows), width), pad_id)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    group = torch.full((len(rows), width), NOBODY)
    response = torch.zeros(len(rows), width, dtype=torch.long)
    sources: dict[int, list[Tensor]] = {}
    for row, members in enumerate(rows):
        at = 0
        for number in members:
            part = parts[number]
            laid = _laid_out(part)
            end = at + part.tokens
            ids[row, at:end], positions[row, at:end], response[row, at:end] = laid[:3]
            group[row, at:end] = number
            sources[number] = [row * width + at + place for place in laid[3]]
            at = end
    scored = torch.tensor([len(r) for part in parts for r in part.responses])
    return Packed(
        ids=ids,
        positions=positions,
        group=group,
        response=response,
        sources=torch.cat([place for number in range(len(parts)) for place in sources[number]]),
        targets=torch.tensor([t for part in parts for wanted in part.scored for t in wanted]),
        owners=torch.repeat_interleave(scored),
    )


def visible(
    positions: Tensor, group: Tensor, response: Tensor, window: int | None = None
) -> Tensor:
    """Who sees whom, (rows, 1, width, width), True where a query (third axis) sees a key.

    With a `window`, only keys less than that many positions back. Padding sees itself alone, so
    that no softmax is empty.
    """
    width = group.shape[1]
    order = torch.ones(width, width, dtype=torch.bool, device=group.device)
    mine = group[:, :, None] == group[:, None, :]
    same = response[:, :, None] == response[:, None, :]
    seen = order.tril() & mine & (same | (response[:, None, :] == 0))
    seen &= (group != NOBODY)[:, :, None]
    if window is not None:
        seen &= positions[:, :, None] - positions[:, None, :] < window
    seen |= torch.eye(width, dtype=torch.bool, device=group.device)
    return seen[:, None]


def _alone(group: Group) -> list[Group]:
    """A group per response."""
    return [
        Group(group.prompt, (response,), (wanted,))
        for response, wanted in zip(group.responses, group.scored, strict=True)
    ]


def _laid_out(part: Group) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Ids, positions and response numbers of one group, and the places its responses come from."""
    start = len(part.prompt)
    lengths = [len(response) - 1 for response in part.responses]
    ids = torch.tensor([*part.prompt, *(t for r in part.responses for t in r[:-1])])
    positions = torch.cat([torch.arange(start), *(torch.arange(start, start + n) for n in lengths)])
    numbers = torch.repeat_interleave(torch.tensor([start, *lengths]))
    first = torch.tensor([start - 1])
    sources = [
        torch.cat([first, torch.arange(end - n, end)])
        for n, end in zip(lengths, list(accumulate(lengths, initial=start))[1:], strict=True)
    ]
    return ids, positions, numbers, sources


def _first_fit(lengths: Sequence[int], multiple: int) -> list[list[int]]:
    """Which items share a row as wide as the longest of them, first fit by falling length."""
    width = -(-max(lengths) // multiple) * multiple
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        row = next((r for r, left in enumerate(room) if left >= lengths[number]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(number)
        room[row] -= lengths[number]
    return rows
