"""Training a policy on rows or pairs: checks before, the Trainer in the middle, a model after."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exante.errors import RunError
from exante.models.chat import Chat
from exante.models.compiled import compile_layers, worth_compiling
from exante.models.forward import can_share, choose_attention, response_logprobs_of, scoring
from exante.models.load import (
    autocast,
    context_length,
    default_device,
    load_chat,
    load_model,
    save_model,
    weights_fingerprint,
)
from exante.models.memory import peak_bytes, reset_peak, settled
from exante.models.weights import weights_of
from exante.records import Pair
from exante.training.data import (
    Batchable,
    Collate,
    Items,
    LengthWindows,
    TokenRow,
    check_pairs,
    check_rows,
    collate_pairs,
    collate_rows,
    groups_of,
)
from exante.training.embeddings import keep_embeddings, markup_ids
from exante.training.losses import PairLoss, TokenLoss, at_reference, pair_loss, token_loss
from exante.training.reference import rows_with_reference, unreferenced, with_reference
from exante.training.settings import TrainSettings
from exante.training.trainer import (
    CHECKPOINTS,
    Loss,
    ObjectiveTrainer,
    OnStep,
    Reporter,
    arguments,
    last_checkpoint,
)

_STEP0_TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "auto": 3e-2}
"""By which the first loss may miss its closed form, relative to it where that is above 1."""
_DISPLACED = -0.1
"""Nats per token below the reference, from which a chosen response counts as pushed down."""


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What a training did, for the stamp of its stage."""

    items: int
    dropped: int
    epochs: float
    """Passes over the items."""
    steps: int
    seconds: float
    tokens: int
    """Tokens of one pass that run through the model, padding left out."""
    supervised_share: float
    """Scored tokens over those."""
    first_loss: float
    last_loss: float
    layout: str
    """`shared` rows of prompts with all their responses, or `plain` ones."""
    compiled: bool = False
    """Were the model's layers compiled?"""
    reference: str = ""
    """Where reference log-probs came from; empty where none are needed."""
    peak_bytes: int | None = None
    """Most memory: of tensors on a GPU, of the process on a CPU; None where it cannot be told."""
    displaced: float | None = None
    """Log-ratio per token of chosen responses at the end, if they became much less likely."""


def fit_tokens(
    rows: Sequence[TokenRow],
    *,
    policy: Path,
    out: Path,
    settings: TrainSettings,
    loss: TokenLoss | None = None,
    reference: Path | None = None,
    on_step: OnStep | None = None,
) -> TrainSummary:
    """Train `policy` on the rows; the new model goes to `out/model`.

    Continues from the newest checkpoint in `out`, with the result of an unbroken run. Tokens that
    are pulled are held at the frozen `reference`.

    Raises:
        InputError: a row cannot be trained on, or is pulled without a reference.
        RunError: the loss is not finite.
    """
    job, source = _token_job(rows, policy, settings, loss, reference)
    run = _run(job, out, settings, on_step)
    return _summary(
        run, job, items=len(job.items), dropped=len(rows) - len(job.items), reference=source
    )


def fit_weights(
    rows: Sequence[TokenRow],
    *,
    policy: Path,
    out: Path,
    settings: TrainSettings,
    loss: TokenLoss | None = None,
    on_step: OnStep | None = None,
) -> tuple[dict[str, Tensor], TrainSummary]:
    """As `fit_tokens`, but the weights are handed back, and nothing but a log is written.

    For weights that must not lie on a disk, not even as a checkpoint: a killed run starts anew.
    """
    job, _ = _token_job(rows, policy, settings, loss, None)
    out.mkdir(parents=True, exist_ok=True)
    run = _run(job, out, settings, on_step, on_disk=False)
    summary = _summary(run, job, items=len(job.items), dropped=len(rows) - len(job.items))
    return weights_of(job.model), summary


def _token_job(
    rows: Sequence[TokenRow],
    policy: Path,
    settings: TrainSettings,
    loss: TokenLoss | None,
    reference: Path | None,
) -> tuple[_Job, str]:
    """What a training on rows needs, and where reference log-probs come from."""
    chat, model = load_chat(policy), load_model(policy)
    kept: Sequence[TokenRow] = check_rows(rows, chat.eos_id, _limit(model, settings), settings)
    scored, source = rows_with_reference(kept, reference, chat.pad_id, settings)
    engine = _engine(model, scored, settings)
    collate = partial(
        collate_rows, pad_id=chat.pad_id, tokens=settings.batch_tokens, shared=engine.shared
    )
    objective = partial(token_loss, settings=loss or TokenLoss())
    job = _Job(model, chat, scored, settings.batch_size, collate, objective, engine)
    return job, source


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

    Pairs of one prompt go through the model together, each response once. Reference log-probs are
    those of the sampler, or computed once, and kept in `out`, keyed by all that enters them; a loss
    that leaves the reference out needs none.

    Raises:
        InputError: a pair cannot be trained on.
        RunError: at policy = reference the loss is not its closed form, or it is not finite.
    """
    chat, model = load_chat(policy), load_model(policy)
    kept = check_pairs(pairs, _limit(model, settings), settings)
    scored, source = (
        (unreferenced(kept), "")
        if loss.reference_free
        else with_reference(kept, reference, chat, out, settings, fronts=loss.tail < 1)
    )
    groups = groups_of(scored)
    engine = _engine(model, groups, settings)
    objective = partial(pair_loss, settings=loss)
    collate = partial(
        collate_pairs, pad_id=chat.pad_id, tokens=settings.batch_tokens, shared=engine.shared
    )
    # Without a reference there is no closed form to hold the first loss against.
    own = weights_fingerprint(policy) == weights_fingerprint(reference)
    if own and not loss.reference_free:
        _check_step0(model, collate(groups[:8]), loss, settings, engine)
    # A step takes as many prompts as hold `batch_size` pairs on average.
    prompts = max(1, round(settings.batch_size * len(groups) / len(scored)))
    job = _Job(model, chat, groups, prompts, collate, objective, engine)
    run = _run(job, out, settings, on_step)
    return _summary(run, job, items=len(kept), dropped=len(pairs) - len(kept), reference=source)


@dataclass(frozen=True, slots=True)
class _Engine:
    """How the model is run."""

    shared: bool
    compiled: bool


@dataclass(frozen=True, slots=True)
class _Job:
    """What one training needs, whatever its kind."""

    model: Any
    chat: Chat
    items: Sequence[Batchable]
    batch_items: int
    collate: Collate
    loss: Loss
    engine: _Engine


@dataclass(frozen=True, slots=True)
class _Run:
    """What the Trainer tells afterwards."""

    epochs: float
    steps: int
    seconds: float
    first_loss: float
    last_loss: float
    peak_bytes: int | None
    displaced: float | None


def _engine(model: Any, items: Sequence[Batchable], settings: TrainSettings) -> _Engine:
    shared = can_share(model)
    widest = max(item.group.tokens for item in items)
    if settings.attention == "auto":
        choose_attention(model, widest)
    else:
        model.set_attn_implementation(settings.attention)
    tokens = sum(item.group.tokens for item in items)
    compiled = settings.compile == "on" or (
        settings.compile == "auto" and worth_compiling(model, settings.passes(tokens) * tokens)
    )
    return _Engine(shared, compiled)


def _run(
    job: _Job,
    out: Path,
    settings: TrainSettings,
    on_step: OnStep | None,
    *,
    on_disk: bool = True,
) -> _Run:
    device = default_device()
    start = time.monotonic()
    log = out / "log.jsonl"
    resume = last_checkpoint(out)
    if resume is None:
        log.unlink(missing_ok=True)
    _make_ready(job, settings)
    lengths = [item.group.tokens for item in job.items]
    epochs = settings.passes(sum(lengths))
    with scoring(job.model, shared=job.engine.shared):
        trainer = ObjectiveTrainer(
            loss=job.loss,
            sampler=LengthWindows(lengths, job.batch_items, settings.seed),
            model=job.model,
            args=arguments(out, settings, device, epochs, on_disk=on_disk),
            train_dataset=Items(job.items),
            data_collator=partial(_only, collate=job.collate),
            callbacks=[Reporter(log, on_step)],
        )
        known = reset_peak(device)
        with settled():
            trainer.train(resume_from_checkpoint=resume)
        trainer.require_finite()
    peak = peak_bytes(device) if known else None
    if on_disk:
        save_model(trainer.accelerator.unwrap_model(trainer.model), job.chat, out / "model")
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return _told(trainer.state, epochs, time.monotonic() - start, peak)


def _make_ready(job: _Job, settings: TrainSettings) -> None:
    job.model.train()
    if job.engine.compiled:
        compile_layers(job.model)
    if settings.embeddings == "markup":
        keep_embeddings(job.model, markup_ids(job.chat))


def _told(state: Any, epochs: float, seconds: float, peak: int | None) -> _Run:
    """What the Trainer's state says when it is done."""
    logged = [entry for entry in state.log_history if "loss" in entry]
    first, last = (logged[0], logged[-1]) if logged else ({}, {})
    ratio = last.get("chosen_ratio")
    return _Run(
        epochs=epochs,
        steps=state.global_step,
        seconds=seconds,
        first_loss=first.get("loss", float("nan")),
        last_loss=last.get("loss", float("nan")),
        peak_bytes=peak,
        displaced=ratio if ratio is not None and ratio < _DISPLACED else None,
    )


def _only(batches: Sequence[Any], collate: Collate) -> Any:
    """The Trainer asks for a list of one item, which is a whole batch here."""
    (batch,) = batches
    return collate(batch)


def _summary(
    run: _Run, job: _Job, *, items: int, dropped: int, reference: str = ""
) -> TrainSummary:
    groups = [item.group for item in job.items]
    tokens = sum(group.tokens for group in groups)
    supervised = sum(len(response) for group in groups for response in group.responses)
    return TrainSummary(
        items=items,
        dropped=dropped,
        tokens=tokens,
        supervised_share=supervised / tokens,
        layout="shared" if job.engine.shared else "plain",
        compiled=job.engine.compiled,
        reference=reference,
        **asdict(run),
    )


def _limit(model: Any, settings: TrainSettings) -> int:
    readable = context_length(model)
    return min(readable, settings.max_length or readable)


def _check_step0(
    model: Any,
    parts: Sequence[Mapping[str, Any]],
    loss: PairLoss,
    settings: TrainSettings,
    engine: _Engine,
) -> None:
    """Policy and reference are the same weights, so the loss has a closed form.

    Raises:
        RunError: it has not: masks, reference or positions are wrong.
    """
    device = model.device
    for part in parts:
        moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in part.items()}
        inputs = {k: v.to(device) for k, v in part["inputs"].items()}
        with torch.inference_mode(), autocast(device.type, settings.precision):
            logprobs = response_logprobs_of(model, **inputs, shared=engine.shared)
        found = float(pair_loss(logprobs, moved, loss)[1]["preference"])
        expected = at_reference(moved, loss)
        if abs(found - expected) > _STEP0_TOLERANCE[settings.precision] * max(1.0, expected):
            raise RunError(
                f"at policy = reference the loss is {found:.4f}, not its closed form "
                f"{expected:.4f}",
                fix="the reference log-probs do not belong to these rows or weights; delete them",
            )
