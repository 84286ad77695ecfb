"""Training a policy on rows or pairs: checks before, the Trainer in the middle, a model after."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from exante import plugins
from exante.errors import RunError
from exante.models.chat import Chat
from exante.models.load import (
    autocast,
    default_device,
    load_chat,
    load_model,
    save_model,
    weights_fingerprint,
)
from exante.models.score import score
from exante.objectives import PAIR_OBJECTIVES
from exante.objectives.logprobs import response_logprobs, token_logprobs
from exante.objectives.pairs import ScoredPairs, anchor
from exante.objectives.tokens import cross_entropy, mean_per_token
from exante.records import Pair, read_jsonl, write_json, write_jsonl
from exante.training.data import (
    LengthWindows,
    TokenRow,
    check_pairs,
    check_rows,
    collate_pairs,
    collate_rows,
    pair_length,
)
from exante.training.embeddings import keep_embeddings, markup_ids
from exante.training.settings import TrainSettings
from exante.training.trainer import (
    CHECKPOINTS,
    Items,
    Loss,
    ObjectiveTrainer,
    OnStep,
    Reporter,
    arguments,
    last_checkpoint,
)

_STEP0_TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "auto": 3e-2}
_SCORED = "scored.jsonl"
_SCORED_KEY = "scored.json"


class PairLoss(BaseModel):
    """The loss on a pair."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = "dpo"
    """One of the objectives in `exante.objectives`, or `package.module:function`."""
    beta: float = Field(default=0.1, gt=0)
    """Pull towards the reference; larger keeps the policy closer."""
    anchor: float = Field(default=1.0, ge=0)
    """Weight of the mean negative log-prob of the chosen response, against displacement."""


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What a training did, for the stamp of its stage."""

    items: int
    dropped: int
    steps: int
    seconds: float
    tokens: int
    """Tokens of one pass, padding left out."""
    supervised_share: float
    """Share of those tokens that carry loss."""
    first_loss: float
    last_loss: float


def fit_tokens(
    rows: Sequence[TokenRow],
    *,
    policy: Path,
    out: Path,
    settings: TrainSettings,
    on_step: OnStep | None = None,
) -> TrainSummary:
    """Train `policy` on the rows; the new model goes to `out/model`.

    Continues from the newest checkpoint in `out`, with the result of an unbroken run.

    Raises:
        InputError: a row cannot be trained on.
        RunError: the loss is not finite.
    """
    chat, model = load_chat(policy), load_model(policy)
    kept = check_rows(rows, chat.eos_id, _limit(model, settings), settings)
    lengths = [row.length for row in kept]
    run = _run(
        _Job(model, chat, kept, lengths, partial(collate_rows, pad_id=chat.pad_id), token_loss),
        out,
        settings,
        on_step,
    )
    supervised = sum(len(row.response_ids) for row in kept)
    return _summary(run, rows, kept, sum(lengths), supervised)


def fit_pairs(
    pairs: Sequence[Pair],
    *,
    policy: Path,
    reference: Path,
    out: Path,
    settings: TrainSettings,
    loss: PairLoss,
    on_step: OnStep | None = None,
) -> TrainSummary:
    """Train `policy` on the pairs against the frozen `reference`; the model goes to `out/model`.

    Reference log-probs are computed once and kept in `out`, keyed by all that enters them.

    Raises:
        InputError: a pair cannot be trained on.
        RunError: at policy = reference the loss is not its closed form, or it is not finite.
    """
    chat, model = load_chat(policy), load_model(policy)
    kept = check_pairs(pairs, _limit(model, settings), settings)
    scored = _with_reference(kept, reference, chat, out, settings)
    objective = partial(pair_loss, settings=loss)
    collate = partial(collate_pairs, pad_id=chat.pad_id)
    if weights_fingerprint(policy) == weights_fingerprint(reference):
        _check_step0(model, collate(scored[:16]), loss, settings)
    lengths = [pair_length(pair) for pair in scored]
    run = _run(_Job(model, chat, scored, lengths, collate, objective), out, settings, on_step)
    tokens = sum(2 * len(p.prompt_ids) + len(p.chosen_ids) + len(p.rejected_ids) for p in scored)
    supervised = sum(len(p.chosen_ids) + len(p.rejected_ids) for p in scored)
    return _summary(run, pairs, scored, tokens, supervised)


def token_loss(model: Any, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, float]]:
    """Weighted cross-entropy per supervised token, in nats."""
    logits = model(input_ids=batch["ids"], attention_mask=batch["attention"]).logits
    logprobs = token_logprobs(logits, batch["ids"])
    return mean_per_token(cross_entropy(logprobs, batch["weights"]), batch["weights"]), {}


def pair_loss(
    model: Any, batch: Mapping[str, Any], settings: PairLoss
) -> tuple[Tensor, dict[str, float]]:
    """Mean over pairs of weight times objective plus anchor, and numbers by kind of pair."""
    logits = model(input_ids=batch["ids"], attention_mask=batch["attention"]).logits
    sums = response_logprobs(token_logprobs(logits, batch["ids"]), batch["response"])
    lengths = batch["response"].sum(-1)
    chosen, rejected = sums.chunk(2)
    chosen_tokens, rejected_tokens = lengths.chunk(2)
    pairs = ScoredPairs(
        chosen=chosen,
        rejected=rejected,
        ref_chosen=batch["ref_chosen"],
        ref_rejected=batch["ref_rejected"],
        margin=batch["margin"],
    )
    objective = plugins.load(PAIR_OBJECTIVES, settings.name, "objective")
    losses = objective(pairs, beta=settings.beta)
    anchored = losses + settings.anchor * anchor(chosen, chosen_tokens)
    numbers = {"preference": float(losses.detach().mean())}
    per_token = {
        "chosen_ratio": (chosen - pairs.ref_chosen).detach() / chosen_tokens,
        "rejected_ratio": (rejected - pairs.ref_rejected).detach() / rejected_tokens,
        "gap": pairs.gap.detach(),
    }
    for kind in sorted(set(batch["kinds"])):
        mine = torch.tensor([k == kind for k in batch["kinds"]], device=chosen.device)
        numbers |= {f"{kind}/{name}": float(v[mine].mean()) for name, v in per_token.items()}
    return (batch["weight"] * anchored).mean(), numbers


@dataclass(frozen=True, slots=True)
class _Job:
    """What one training needs, whatever its kind."""

    model: Any
    chat: Chat
    items: Sequence[Any]
    lengths: Sequence[int]
    collate: Any
    loss: Loss


@dataclass(frozen=True, slots=True)
class _Run:
    """What the Trainer tells afterwards."""

    steps: int
    seconds: float
    first_loss: float
    last_loss: float


def _run(job: _Job, out: Path, settings: TrainSettings, on_step: OnStep | None) -> _Run:
    device = default_device()
    start = time.monotonic()
    log = out / "log.jsonl"
    resume = last_checkpoint(out)
    if resume is None:
        log.unlink(missing_ok=True)
    job.model.train()
    if settings.embeddings == "markup":
        keep_embeddings(job.model, markup_ids(job.chat))
    trainer = ObjectiveTrainer(
        loss=job.loss,
        sampler=LengthWindows(job.lengths, settings.batch_size, settings.seed),
        model=job.model,
        args=arguments(out, settings, device),
        train_dataset=Items(job.items),
        data_collator=job.collate,
        callbacks=[Reporter(log, on_step)],
    )
    trainer.train(resume_from_checkpoint=resume)
    save_model(trainer.accelerator.unwrap_model(trainer.model), job.chat, out / "model")
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    first, last = (losses[0], losses[-1]) if losses else (float("nan"), float("nan"))
    return _Run(trainer.state.global_step, time.monotonic() - start, first, last)


def _summary(
    run: _Run, given: Sequence[Any], kept: Sequence[Any], tokens: int, supervised: int
) -> TrainSummary:
    return TrainSummary(
        items=len(kept),
        dropped=len(given) - len(kept),
        tokens=tokens,
        supervised_share=supervised / tokens,
        **asdict(run),
    )


def _limit(model: Any, settings: TrainSettings) -> int:
    readable = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)
    return min(readable, settings.max_length or readable)


def _with_reference(
    pairs: Sequence[Pair], reference: Path, chat: Chat, out: Path, settings: TrainSettings
) -> list[Pair]:
    """The pairs with the reference's log-probs, from an earlier try if it was the very same."""
    rows = [(p.prompt_ids, p.chosen_ids) for p in pairs]
    rows += [(p.prompt_ids, p.rejected_ids) for p in pairs]
    content = json.dumps(rows, separators=(",", ":")).encode()
    key = {
        "reference": weights_fingerprint(reference),
        "rows": hashlib.sha256(content).hexdigest(),
        "precision": settings.precision,
    }
    out.mkdir(parents=True, exist_ok=True)
    known, path = out / _SCORED_KEY, out / _SCORED
    if known.is_file() and json.loads(known.read_text()) == key:
        return read_jsonl(path, Pair)
    model = load_model(reference)
    sums = score(model, rows, pad_id=chat.pad_id, precision=settings.precision)
    half = len(pairs)
    scored = [
        pair.model_copy(update={"chosen_reference": sums[i], "rejected_reference": sums[half + i]})
        for i, pair in enumerate(pairs)
    ]
    write_jsonl(path, scored)
    write_json(known, key)
    return scored


def _check_step0(
    model: Any, batch: Mapping[str, Any], loss: PairLoss, settings: TrainSettings
) -> None:
    """Policy and reference are the same weights, so the loss has a closed form.

    Raises:
        RunError: it has not: masks, reference or positions are wrong.
    """
    zero = torch.zeros_like(batch["margin"])
    same = ScoredPairs(
        chosen=zero, rejected=zero, ref_chosen=zero, ref_rejected=zero, margin=batch["margin"]
    )
    objective = plugins.load(PAIR_OBJECTIVES, loss.name, "objective")
    expected = float(objective(same, beta=loss.beta).mean())
    device = model.device
    moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
    with torch.inference_mode(), autocast(device.type, settings.precision):
        _, numbers = pair_loss(model, moved, loss)
    found = numbers["preference"]
    if abs(found - expected) > _STEP0_TOLERANCE[settings.precision]:
        raise RunError(
            f"at policy = reference the loss is {found:.4f}, not its closed form {expected:.4f}",
            fix="the reference log-probs do not belong to these rows or weights; delete them",
        )
