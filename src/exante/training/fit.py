"""Training a policy on rows or pairs: what is checked and scored before, and told after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from torch import Tensor

from exante.errors import InputError
from exante.models.folders import context_limit, weights_fingerprint
from exante.models.load import load_chat
from exante.models.ranks import from_main
from exante.models.weights import weights_of
from exante.records import Pair
from exante.training.data import (
    TokenRow,
    check_pairs,
    check_rows,
    collate_pairs,
    collate_rows,
    groups_of,
)
from exante.training.first_loss import check_first_loss
from exante.training.lora import LoraSummary, trainable, whole_weights
from exante.training.losses import PairLoss, TokenLoss, pair_loss, token_loss
from exante.training.reference import rows_with_reference, unreferenced, with_reference
from exante.training.run import Job, Run, engine_for
from exante.training.run import run as run_job
from exante.training.settings import TrainSettings
from exante.training.sharding import division, require_divisible
from exante.training.trainer import OnStep


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
    """Tokens of one pass that run through the model in all processes, padding left out."""
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
    """Most memory of any process: of tensors on a GPU, all of it on a CPU; None where it cannot be
    told."""
    displaced: float | None = None
    """Log-ratio per token of chosen responses at the end, if they became much less likely."""
    lora: LoraSummary | None = None
    """Of an adapter; None where all weights were trained."""


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
    run = run_job(job, out, settings, on_step)
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
    if division() != "none":
        raise InputError(
            "weights that stay in memory cannot be divided among processes",
            where="accelerate launch",
            fix="use a config without FSDP or DeepSpeed for this step",
        )
    job, _ = _token_job(rows, policy, settings, loss, None)
    out.mkdir(parents=True, exist_ok=True)
    run = run_job(job, out, settings, on_step, on_disk=False)
    summary = _summary(run, job, items=len(job.items), dropped=len(rows) - len(job.items))
    return weights_of(whole_weights(job.model, settings)), summary


def _token_job(
    rows: Sequence[TokenRow],
    policy: Path,
    settings: TrainSettings,
    loss: TokenLoss | None,
    reference: Path | None,
) -> tuple[Job, str]:
    """What a training on rows needs, and where reference log-probs come from."""
    require_divisible(policy, settings)
    chat = load_chat(policy)
    kept = check_rows(rows, chat.stop_ids, _limit(policy, settings), settings)
    # One model at a time: the policy as it comes in is the reference, or it is loaded after it.
    own = division() == "none" and (reference is None or _same(policy, reference))
    model = trainable(policy, chat, settings) if own else None
    scored, source = rows_with_reference(kept, reference, chat.pad_id, settings, model=model)
    model = model or trainable(policy, chat, settings)
    engine = engine_for(model, scored, settings)
    collate = partial(
        collate_rows, pad_id=chat.pad_id, tokens=settings.batch_tokens, shared=engine.shared
    )
    objective = partial(token_loss, settings=loss or TokenLoss())
    job = Job(policy, model, chat, scored, settings.batch_size, collate, objective, engine)
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
    require_divisible(policy, settings)
    chat = load_chat(policy)
    kept = check_pairs(pairs, _limit(policy, settings), settings)
    # A model whose weights are yet to be divided is no place to score or to check anything.
    own = division() == "none" and not loss.reference_free and _same(policy, reference)
    model = trainable(policy, chat, settings) if own else None
    fronts = loss.tail < 1
    scored, source = (
        (unreferenced(kept), "")
        if loss.reference_free
        else with_reference(kept, reference, chat, out, settings, fronts=fronts, model=model)
    )
    model = model or trainable(policy, chat, settings)
    groups = groups_of(scored)
    engine = engine_for(model, groups, settings)
    objective = partial(pair_loss, settings=loss)
    collate = partial(
        collate_pairs, pad_id=chat.pad_id, tokens=settings.batch_tokens, shared=engine.shared
    )
    # Without a reference there is no closed form to hold the first loss against.
    if own:
        check_first_loss(model, collate(groups[:8]), loss, settings, shared=engine.shared)
    # A step takes as many prompts as hold `batch_size` pairs on average.
    prompts = max(1, round(settings.batch_size * len(groups) / len(scored)))
    job = Job(policy, model, chat, groups, prompts, collate, objective, engine)
    run = run_job(job, out, settings, on_step)
    return _summary(run, job, items=len(kept), dropped=len(pairs) - len(kept), reference=source)


def _summary(run: Run, job: Job, *, items: int, dropped: int, reference: str = "") -> TrainSummary:
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
        **{field.name: getattr(run, field.name) for field in fields(run)},
    )


def _same(one: Path, other: Path) -> bool:
    return from_main(lambda: one == other or weights_fingerprint(one) == weights_fingerprint(other))


def _limit(policy: Path, settings: TrainSettings) -> int:
    readable = context_limit(policy)
    return min(readable, settings.max_length or readable)
