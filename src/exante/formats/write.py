"""From examples to the rows of other tools; what a format cannot hold is left out and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from exante.formats.base import Preference
from exante.records import Example, Response

Target = Literal["examples", "trl", "pku"]
Rows = Iterator[dict[str, Any]]

_SEVERITIES = (0.0, 1.0, 2.0, 3.0)
"""Of PKU-SafeRLHF, which are read as costs; other costs are no severities."""


@dataclass(slots=True)
class Written:
    """Rows of one type, and what has no place in it."""

    type: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    """Examples by the reason they were left out."""


def written(examples: Sequence[Example], target: Target, prefers: Preference) -> Written:
    """The rows of all examples; `prefers` says which preference makes a response the chosen one."""
    return WRITERS[target](examples, prefers)


def _examples(examples: Sequence[Example], prefers: Preference) -> Written:
    return Written("examples", [example.model_dump(mode="json") for example in examples])


def _pku(examples: Sequence[Example], prefers: Preference) -> Written:
    found = Written("pku")
    for example in examples:
        if len(example.responses) != 2:
            found.left["not two responses"] += 1
        elif len(example.messages) != 1:
            found.left["a prompt of several turns"] += 1
        else:
            found.rows.append(_pku_row(example))
    return found


def _pku_row(example: Example) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt": example.prompt}
    row |= {f"response_{place}": r.text for place, r in enumerate(example.responses)}
    for place, response in enumerate(example.responses):
        unsafe = response.is_unsafe
        row[f"is_response_{place}_safe"] = None if unsafe is None else not unsafe
    if all(response.cost in _SEVERITIES for response in example.responses):
        costs = [int(r.cost) for r in example.responses if r.cost is not None]
        row |= {f"response_{place}_severity_level": cost for place, cost in enumerate(costs)}
    return row | {"better_response_id": example.better, "safer_response_id": example.safer}


def _trl(examples: Sequence[Example], prefers: Preference) -> Written:
    """One type for the whole file, the richest that any example can fill."""
    for name, fits, rows in _TRL:
        if any(fits(example, prefers) for example in examples):
            found = Written(name)
            for example in examples:
                if fits(example, prefers):
                    found.rows += rows(example, prefers)
                else:
                    found.left[f"no {name}"] += 1
            return found
    if any(example.responses for example in examples):
        told = "more useful" if prefers == "better" else "safer"
        reason = f"no label says which response is {told}"
        return Written("preference", left=Counter({reason: len(examples)}))
    return Written("prompt-only", [{"prompt": _prompt(example)} for example in examples])


def _chosen(example: Example, prefers: Preference) -> int | None:
    place = example.better if prefers == "better" else example.safer
    return place if len(example.responses) > 1 else None


def _paired_rows(example: Example, prefers: Preference) -> Rows:
    chosen = _chosen(example, prefers)
    if chosen is None:
        return
    for place, other in enumerate(example.responses):
        if place != chosen:
            yield {
                "prompt": _prompt(example),
                "chosen": _answer(example.responses[chosen]),
                "rejected": _answer(other),
            }


def _label(response: Response, prefers: Preference) -> bool | None:
    """Wanted or not; a reward tells only where it is 1 or 0, as it comes from such a label."""
    if prefers == "safer":
        return None if response.is_unsafe is None else not response.is_unsafe
    return {1.0: True, 0.0: False}.get(response.reward) if response.reward is not None else None


def _unpaired_rows(example: Example, prefers: Preference) -> Rows:
    for response in example.responses:
        label = _label(response, prefers)
        if label is not None:
            yield {"prompt": _prompt(example), "completion": _answer(response), "label": label}


def _completion_rows(example: Example, prefers: Preference) -> Rows:
    for response in example.responses:
        yield {"prompt": _prompt(example), "completion": _answer(response)}


def _prompt(example: Example) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in example.messages]


def _answer(response: Response) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": response.text}]


_Fits = Callable[[Example, Preference], bool]
_TRL: tuple[tuple[str, _Fits, Callable[[Example, Preference], Rows]], ...] = (
    ("preference", lambda e, prefers: _chosen(e, prefers) is not None, _paired_rows),
    (
        "unpaired preference",
        lambda e, prefers: any(_label(r, prefers) is not None for r in e.responses),
        _unpaired_rows,
    ),
    # Two answers of which none is known to be better are nothing to imitate.
    ("prompt-completion", lambda e, prefers: len(e.responses) == 1, _completion_rows),
)
WRITERS: Mapping[Target, Callable[[Sequence[Example], Preference], Written]] = {
    "examples": _examples,
    "trl": _trl,
    "pku": _pku,
}
"""Targets by name."""
