"""Reference log-probs of pairs: from the sampler where they can be trusted, else computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from exante.models.chat import Chat
from exante.models.load import load_model, weights_fingerprint
from exante.models.score import score
from exante.records import Pair, read_jsonl, write_json, write_jsonl
from exante.training.settings import TrainSettings

SCORED = "scored.jsonl"
_KEY = "scored.json"
_CHECKED = 32
"""Pairs whose sampled log-probs are compared with a forward pass."""
_TOLERANCE = 0.2
"""Nats by which the gap of chosen and rejected may differ between sampler and forward pass, on
average; at beta 0.1 that moves a pair's loss by 0.01. Beyond, every pair is scored anew."""


def with_reference(
    pairs: Sequence[Pair], reference: Path, chat: Chat, out: Path, settings: TrainSettings
) -> tuple[list[Pair], str]:
    """The pairs with the reference's log-probs, and where these come from.

    They are kept in `out`, keyed by weights, rows and precision: an earlier try with the very same
    key is taken as it is. Log-probs that the sampler left are taken if the reference itself made
    them and a forward pass on some pairs agrees.
    """
    rows = [(p.prompt_ids, p.chosen_ids) for p in pairs]
    rows += [(p.prompt_ids, p.rejected_ids) for p in pairs]
    sampled = [(p.scored_by, p.chosen_reference, p.rejected_reference) for p in pairs]
    content = json.dumps([rows, sampled], separators=(",", ":")).encode()
    fingerprint = weights_fingerprint(reference)
    key = {
        "reference": fingerprint,
        "rows": hashlib.sha256(content).hexdigest(),
        "precision": settings.precision,
    }
    out.mkdir(parents=True, exist_ok=True)
    known, path = out / _KEY, out / SCORED
    if known.is_file():
        found = json.loads(known.read_text())
        if {name: found.get(name) for name in key} == key:
            return read_jsonl(path, Pair), found["source"]
    model = load_model(reference)

    def scored(chosen: Sequence[Pair]) -> list[Pair]:
        half = len(chosen)
        asked = [(p.prompt_ids, p.chosen_ids) for p in chosen]
        asked += [(p.prompt_ids, p.rejected_ids) for p in chosen]
        sums = score(model, asked, pad_id=chat.pad_id, precision=settings.precision)
        return [
            pair.model_copy(
                update={
                    "chosen_reference": sums[i],
                    "rejected_reference": sums[half + i],
                    "scored_by": fingerprint,
                }
            )
            for i, pair in enumerate(chosen)
        ]

    source = "forward pass"
    if all(_has_sampled(pair, fingerprint) for pair in pairs):
        some = _spread(pairs)
        away = [abs(_gap(a) - _gap(b)) for a, b in zip(some, scored(some), strict=True)]
        if sum(away) / len(away) <= _TOLERANCE:
            source = "sampler"
    result = list(pairs) if source == "sampler" else scored(pairs)
    write_jsonl(path, result)
    write_json(known, {**key, "source": source})
    return result, source


def _has_sampled(pair: Pair, fingerprint: str) -> bool:
    both = (pair.chosen_reference, pair.rejected_reference)
    return pair.scored_by == fingerprint and None not in both


def _spread(pairs: Sequence[Pair]) -> list[Pair]:
    step = max(1, len(pairs) // _CHECKED)
    return list(pairs[::step][:_CHECKED])


def _gap(pair: Pair) -> float:
    return (pair.chosen_reference or 0.0) - (pair.rejected_reference or 0.0)
