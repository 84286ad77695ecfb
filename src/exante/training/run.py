"""One training, from a job that is ready to a model that is saved; the Trainer in the middle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from exante.durable import CHECKPOINTS
from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.compiled import compile_layers, compiler_works, worth_compiling
from exante.models.devices import default_device
from exante.models.faults import first_line
from exante.models.forward import can_share, choose_attention, scoring
from exante.models.memory import peak_bytes, reset_peak, settled
from exante.models.ranks import from_main, gathered, ranks
from exante.training.checkpoints import Keeper, newest_checkpoint
from exante.training.data import Batchable, Collate, Items, LengthWindows
from exante.training.dealing import Repeated, collate_share
from exante.training.embeddings import keep_embeddings, markup_ids
from exante.training.lora import LoraSummary, save_trained
from exante.training.settings import TrainSettings
from exante.training.sharding import (
    RowMask,
    division,
    joined_weights,
    require_divided,
)
from exante.training.trackers import watched
from exante.training.trainer import (
    Epochs,
    Loss,
    ObjectiveTrainer,
    OnStep,
    Reporter,
    arguments,
)

_DISPLACED = -0.1
"""Nats per token below the reference, from which a chosen response counts as pushed down."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How the model is run."""

    shared: bool
    compiled: bool


@dataclass(frozen=True, slots=True)
class Job:
    """What one training needs, whatever its kind."""

    policy: Path
    model: Any
    chat: Chat
    items: Sequence[Batchable]
    batch_items: int
    collate: Collate
    loss: Loss
    engine: Engine


@dataclass(frozen=True, slots=True)
class Run:
    """What the Trainer tells afterwards."""

    epochs: float
    steps: int
    seconds: float
    first_loss: float
    last_loss: float
    peak_bytes: int | None
    displaced: float | None
    lora: LoraSummary | None


def engine_for(model: Any, items: Sequence[Batchable], settings: TrainSettings) -> Engine:
    """Choose layout, attention and compiler for these items.

    Raises:
        InputError: the attention or the compiler that is asked for is not there.
    """
    # Where weights are divided, the main process alone holds them so far.
    shared = from_main(lambda: can_share(model))
    widest = max(item.group.tokens for item in items)
    if settings.attention == "auto":
        choose_attention(model, widest, default_device())
    else:
        _take_attention(model, settings.attention)
    tokens = sum(item.group.tokens for item in items)
    if settings.compile == "on" and not compiler_works(model.device.type):
        raise InputError(
            "there is no compiler here that could build the layers",
            where="train.compile",
            fix="install one (g++; Triton for GPUs), or set it to auto",
        )
    compiled = settings.compile == "on" or (
        settings.compile == "auto"
        and division() == "none"
        and from_main(lambda: worth_compiling(model, settings.passes(tokens) * tokens))
    )
    return Engine(shared, compiled)


def _take_attention(model: Any, name: str) -> None:
    try:
        model.set_attn_implementation(name)
    except ValueError as error:
        raise InputError(
            f"{name} does not work with {type(model).__name__}: {first_line(error)}",
            where="train.attention",
            fix="set it to auto",
        ) from None


def run(
    job: Job,
    out: Path,
    settings: TrainSettings,
    on_step: OnStep | None,
    *,
    on_disk: bool = True,
) -> Run:
    """Train the job's model, from the newest checkpoint in `out` where there is one.

    Nothing but a log is written, and no weights, where it is not to be `on_disk`. Checkpoints stay
    until whoever asked for the training has put away what it came to.

    Raises:
        RunError: the loss is not finite.
    """
    start, log = time.monotonic(), out / "log.jsonl"
    resume = newest_checkpoint(out / CHECKPOINTS)
    if resume is None and ranks().main:
        log.unlink(missing_ok=True)
    mask = _make_ready(job, settings)
    with scoring(job.model, shared=job.engine.shared), watched(out) as (trackers, name):
        trainer = _trainer(
            job,
            out,
            settings,
            mask,
            Reporter(log, on_step),
            on_disk=on_disk,
            report_to=trackers,
            run_name=name or None,
        )
        known = reset_peak(default_device())
        with settled():
            trainer.train(resume_from_checkpoint=resume)
        trainer.require_finite()
    peaks = gathered(peak_bytes(default_device()) if known else None)
    lora = _saved(trainer, job, out, settings) if on_disk else None
    if not on_disk and ranks().main:
        # The Trainer makes it all the same.
        (out / CHECKPOINTS).rmdir()
    peak = None if None in peaks else max(peak for peak in peaks if peak is not None)
    epochs = trainer.args.num_train_epochs
    return _told(trainer.state, epochs, time.monotonic() - start, peak, lora)


def _trainer(
    job: Job,
    out: Path,
    settings: TrainSettings,
    mask: RowMask | None,
    reporter: Reporter,
    **how: Any,
) -> ObjectiveTrainer:
    lengths = [item.group.tokens for item in job.items]
    batches = LengthWindows(lengths, job.batch_items, settings.seed)
    sparse = any(".experts." in name for name, _ in job.model.named_parameters())
    epochs = settings.passes(sum(lengths))
    trainer = ObjectiveTrainer(
        loss=job.loss,
        sampler=Repeated(batches, ranks().count),
        after_backward=mask,
        model=job.model,
        args=arguments(out, settings, default_device(), epochs, sparse=sparse, **how),
        train_dataset=Items(job.items),
        data_collator=partial(_only, collate=job.collate, tokens=settings.batch_tokens),
        callbacks=[reporter, Epochs(batches), Keeper()],
    )
    require_divided(trainer.is_fsdp_enabled)
    return trainer


def _saved(trainer: Any, job: Job, out: Path, settings: TrainSettings) -> LoraSummary | None:
    """Write the trained model, in the main process; every process takes part."""
    weights = joined_weights(trainer)
    if not ranks().main:
        return None
    trained = trainer.accelerator.unwrap_model(trainer.model)
    return save_trained(trained, job.chat, out, job.policy, settings, weights)


def _make_ready(job: Job, settings: TrainSettings) -> RowMask | None:
    """Prepare the model; returns what is left to do after each backward pass."""
    job.model.train()
    if job.engine.compiled:
        compile_layers(job.model)
    if settings.embeddings != "markup" or settings.lora is not None:
        return None
    if division() != "none":
        return RowMask(markup_ids(job.chat))
    keep_embeddings(job.model, markup_ids(job.chat))
    return None


def _told(
    state: Any, epochs: float, seconds: float, peak: int | None, lora: LoraSummary | None
) -> Run:
    """What the Trainer's state says when it is done."""
    logged = [entry for entry in state.log_history if "loss" in entry]
    first, last = (logged[0], logged[-1]) if logged else ({}, {})
    ratio = last.get("chosen_ratio")
    return Run(
        epochs=epochs,
        steps=state.global_step,
        seconds=seconds,
        first_loss=first.get("loss", float("nan")),
        last_loss=last.get("loss", float("nan")),
        peak_bytes=peak,
        displaced=ratio if ratio is not None and ratio < _DISPLACED else None,
        lora=lora,
    )


def _only(batches: Sequence[Any], collate: Collate, tokens: int) -> Any:
    """The Trainer asks for a list of one item, which is a whole batch here."""
    (batch,) = batches
    return collate_share(batch, ranks(), tokens, collate)
