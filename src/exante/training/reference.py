"""Reference log-probs: from the sampler where they can be trusted, else computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.load import load_model, weights_fingerprint
from exante.models.score import score, token_logprobs
from exante.records import Pair, read_jsonl, write_json, write_jsonl
from exante.training.data import TokenRow
from exante.training.settings import TrainSettings

SCORED = "scored.jsonl"
_KEY = "scored.json"
_CHECKED = 32
"""Pairs whose sampled log-probs are compared with a forward pass."""
_TOLERANCE = 0.2
"""Nats by which the gap of chosen and rejected may differ between sampler and forward pass, on
average; at beta 0.1 that moves a pair's loss by 0.01. Beyond, every pair is scored anew."""


def unreferenced(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs for a loss that leaves the reference out: nothing is scored, all of it is 0."""
    none = {"chosen_reference": 0.0, "rejected_reference": 0.0, "scored_by": ""}
    none |= {"chosen_front": 0.0, "rejected_front": 0.0}
    return [pair.model_copy(update=none) for pair in pairs]


def with_reference(
    pairs: Sequence[Pair],
    reference: Path,
    chat: Chat,
    out: Path,
    settings: TrainSettings,
    *,
    fronts: bool = False,
) -> tuple[list[Pair], str]:
    """The pairs with the reference's log-probs, and where these come from.

    They are kept in `out`, keyed by weights, rows and precision: an earlier try with the very same
    key is taken as it is. Log-probs that the sampler left are taken if the reference itself made
    them and a forward pass on some pairs agrees. `fronts` asks for those of the first tokens, too,
    as many as the shorter response has; no sampler leaves these.
    """
    key = _key(pairs, weights_fingerprint(reference), settings.precision, fronts)
    out.mkdir(parents=True, exist_ok=True)
    known, path = out / _KEY, out / SCORED
    if known.is_file():
        found = json.loads(known.read_text(encoding="utf-8"))
        if {name: found.get(name) for name in key} == key:
            return read_jsonl(path, Pair), found["source"]
    scored = partial(
        _scored,
        model=load_model(reference),
        fingerprint=key["reference"],
        pad_id=chat.pad_id,
        precision=settings.precision,
        fronts=fronts,
    )
    holds = (
        not fronts
        and all(_has_sampled(pair, key["reference"]) for pair in pairs)
        and _agree(some := _spread(pairs), scored(some))
    )
    result = list(pairs) if holds else scored(pairs)
    source = "sampler" if holds else "forward pass"
    write_jsonl(path, result)
    write_json(known, {**key, "source": source})
    return result, source


def rows_with_reference(
    rows: Sequence[TokenRow], reference: Path | None, pad_id: int, settings: TrainSettings
) -> tuple[list[TokenRow], str]:
    """The rows, with the reference's log-prob of each token where any is pulled, and their source.

    One pass, before training; a training that goes on after a kill makes it again.

    Raises:
        InputError: a token is pulled, and there is no reference.
    """
    pulled = [row for row in rows if any(row.pulls)]
    if not pulled:
        return list(rows), ""
    if reference is None:
        raise InputError(
            "tokens are held at a reference, and there is none",
            where=pulled[0].example_id,
            fix="name the frozen model as `reference`",
        )
    known = token_logprobs(
        load_model(reference),
        [row.group for row in pulled],
        pad_id=pad_id,
        precision=settings.precision,
    )
    scored = [replace(row, references=known[row.group]) if any(row.pulls) else row for row in rows]
    return scored, "forward pass"


def _key(pairs: Sequence[Pair], fingerprint: str, precision: str, fronts: bool) -> dict[str, Any]:
    """All that enters the numbers."""
    rows = [
        (p.prompt_ids, p.chosen_ids, p.rejected_ids)
        + (p.scored_by, p.chosen_reference, p.rejected_reference)
        for p in pairs
    ]
    content = json.dumps(rows, separators=(",", ":")).encode()
    return {
        "reference": fingerprint,
        "rows": hashlib.sha256(content).hexdigest(),
        "precision": precision,
        "fronts": fronts,
    }


def _scored(
    pairs: Sequence[Pair],
    *,
    model: Any,
    fingerprint: str,
    pad_id: int,
    precision: str,
    fronts: bool,
) -> list[Pair]:
    wanted = {"chosen_reference": [p.chosen_ids for p in pairs]}
    wanted["rejected_reference"] = [p.rejected_ids for p in pairs]
    if fronts:
        shorter = [min(len(p.chosen_ids), len(p.rejected_ids)) for p in pairs]
        for side in ("chosen", "rejected"):
            whole = wanted[f"{side}_reference"]
            wanted[f"{side}_front"] = [ids[:n] for ids, n in zip(whole, shorter, strict=True)]
    rows = [
        (p.prompt_ids, ids)
        for column in wanted.values()
        for p, ids in zip(pairs, column, strict=True)
    ]
    sums = score(model, rows, pad_id=pad_id, precision=precision)
    found = [sums[first :: len(pairs)] for first in range(len(pairs))]
    return [
        pair.model_copy(
            update={**dict(zip(wanted, numbers, strict=True)), "scored_by": fingerprint}
        )
        for pair, numbers in zip(pairs, found, strict=True)
    ]


def _agree(sampled: Sequence[Pair], scored: Sequence[Pair]) -> bool:
    away = [abs(_gap(a) - _gap(b)) for a, b in zip(sampled, scored, strict=True)]
    return sum(away) / len(away) <= _TOLERANCE


def _has_sampled(pair: Pair, fingerprint: str) -> bool:
    both = (pair.chosen_reference, pair.rejected_reference)
    return pair.scored_by == fingerprint and None not in both


def _spread(pairs: Sequence[Pair]) -> list[Pair]:
    step = max(1, len(pairs) // _CHECKED)
    return list(pairs[::step][:_CHECKED])


def _gap(pair: Pair) -> float:
    return (pair.chosen_reference or 0.0) - (pair.rejected_reference or 0.0)
