"""exante's side: its preference training on the given batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from exante.bench.meter import Meter
from exante.bench.outcome import batches_of, stacked, trained
from exante.bench.request import Request, Trained
from exante.models.load import autocast, load_chat, load_model
from exante.training import PairLoss
from exante.training.data import collate_pairs
from exante.training.fit import pair_loss


def run(request: Request, meter: Meter) -> Trained:
    """Train on the request's batches in their order; order inside a batch is free.

    Reference log-probs come with the pairs, as they do from the sampler. Precision, threads and
    batch size are those of `request.setup`; the optimizer is TRL's: fused AdamW without decay at a
    constant rate, gradients clipped at 1.
    """
    spec, device = request.spec, request.spec.device
    batches, _ = batches_of(request)
    pad_id = load_chat(request.model).pad_id
    model = load_model(request.model, device=device)
    meter.model_loaded(model)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=spec.learning_rate, weight_decay=0.0, fused=True
    )
    settings = PairLoss(beta=spec.beta, anchor=0.0)
    losses = []
    meter.training_starts(model)
    for number, pairs in enumerate(batches, start=1):
        batch = _moved(collate_pairs(pairs, pad_id=pad_id), device)
        with autocast(device, request.setup.precision):
            loss, _ = pair_loss(model, batch, settings)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
        meter.step_done(last=number == len(batches))
    return trained(request, model, meter, stacked(losses))


def _moved(batch: dict[str, Any], device: str) -> dict[str, Any]:
    return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
