"""Reference log-probs: from the sampler where they can be trusted, else computed once, by all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.forward import can_share
from exante.models.ranks import from_main, gathered, ranks
from exante.models.score import score, token_logprobs
from exante.records import Pair, read_jsonl, write_json, write_jsonl
from exante.training.data import TokenRow
from exante.training.lora import frozen, frozen_fingerprint
from exante.training.settings import TrainSettings
from exante.training.sharding import divided_reference, division

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
    model: Any = None,
) -> tuple[list[Pair], str]:
    """The pairs with the reference's log-probs, and where these come from.

    `model` is the loaded reference, where the caller has it: a policy before its first step. Else
    it is loaded here and gone again before the caller goes on.

    They are kept in `out`, keyed by weights, rows and precision: an earlier try with the very same
    key is taken as it is. Log-probs that the sampler left are taken if the reference itself made
    them and a forward pass on some pairs agrees. `fronts` asks for those of the first tokens, too,
    as many as the shorter response has; no sampler leaves these.
    """
    key = from_main(lambda: _key(pairs, reference, settings, fronts))
    out.mkdir(parents=True, exist_ok=True)
    known, path = out / _KEY, out / SCORED
    found = from_main(lambda: _kept(known, key))
    if found is not None:
        return read_jsonl(path, Pair), found
    frozen_model, shared = _reference(reference, settings, model)
    scored = partial(
        _scored,
        model=frozen_model,
        shared=shared,
        fingerprint=key["reference"],
        pad_id=chat.pad_id,
        precision=settings.precision,
        fronts=fronts,
    )
    holds = (
        not fronts
        and all(_has_sampled(pair, key["reference"]) for pair in pairs)
        and _agree(some := _spread(pairs), _by_all(some, scored))
    )
    result = list(pairs) if holds else _by_all(pairs, scored)
    source = "sampler" if holds else "forward pass"
    if ranks().main:
        write_jsonl(path, result)
        write_json(known, {**key, "source": source})
    return result, source


def _reference(reference: Path, settings: TrainSettings, model: Any) -> tuple[Any, bool]:
    """The frozen model, loaded unless it is given, and whether it can share rows."""
    if division() == "fsdp":
        return divided_reference(reference)
    found = frozen(reference, settings) if model is None else model
    return found, can_share(found)


def _kept(known: Path, key: Mapping[str, Any]) -> str | None:
    """Where the log-probs of an earlier try with the very same key came from."""
    if not known.is_file():
        return None
    found = json.loads(known.read_text(encoding="utf-8"))
    same = {name: found.get(name) for name in key} == key
    return str(found["source"]) if same else None


def _by_all(pairs: Sequence[Pair], scored: Callable[[Sequence[Pair]], list[Pair]]) -> list[Pair]:
    """The pairs scored, in their order: each process takes some prompts with all their pairs."""
    prompts = sorted({pair.prompt_ids for pair in pairs}, key=lambda ids: (len(ids), ids))
    mine = set(ranks().share(prompts))
    places = [place for place, pair in enumerate(pairs) if pair.prompt_ids in mine]
    # Where weights are divided, whoever has nothing to score still takes part.
    own = scored([pairs[place] for place in places or [0]])[: len(places)]
    found = {
        place: pair
        for part in gathered(list(zip(places, own, strict=True)))
        for place, pair in part
    }
    return [found[place] for place in range(len(pairs))]


def rows_with_reference(
    rows: Sequence[TokenRow],
    reference: Path | None,
    pad_id: int,
    settings: TrainSettings,
    *,
    model: Any = None,
) -> tuple[list[TokenRow], str]:
    """The rows, with the reference's log-prob of each token where any is pulled, and their source.

    `model` is the loaded reference, where the caller has it. One pass, before training; a training
    that goes on after a kill makes it again.

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
    unique = dict.fromkeys(row.group for row in pulled)
    groups = sorted(unique, key=lambda group: group.tokens)
    mine = ranks().share(groups)
    frozen_model, shared = _reference(reference, settings, model)
    own = token_logprobs(
        frozen_model,
        mine or groups[:1],
        pad_id=pad_id,
        precision=settings.precision,
        shared=shared,
        divided=division() == "fsdp",
    )
    known = {group: found for part in gathered(own) for group, found in part.items()}
    scored = [replace(row, references=known[row.group]) if any(row.pulls) else row for row in rows]
    return scored, "forward pass"


def _key(
    pairs: Sequence[Pair], reference: Path, settings: TrainSettings, fronts: bool
) -> dict[str, Any]:
    """All that enters the numbers."""
    rows = [
        (p.prompt_ids, p.chosen_ids, p.rejected_ids)
        + (p.scored_by, p.chosen_reference, p.rejected_reference)
        for p in pairs
    ]
    content = json.dumps(rows, separators=(",", ":")).encode()
    return {
        "reference": frozen_fingerprint(reference, settings),
        "rows": hashlib.sha256(content).hexdigest(),
        "precision": settings.precision,
        "fronts": fronts,
    }


def _scored(
    pairs: Sequence[Pair],
    *,
    model: Any,
    shared: bool,
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
    divided = division() == "fsdp"
    how: dict[str, Any] = {"precision": precision, "shared": shared, "divided": divided}
    sums = score(model, rows, pad_id=pad_id, **how)
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
