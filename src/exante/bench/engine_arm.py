"""exante's side: its preference training on the given batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from exante.bench.meter import Meter
from exante.bench.outcome import batches_of, stacked, trained
from exante.bench.request import Request, Trained
from exante.bench.weights import chat_of
from exante.models.compiled import compile_layers
from exante.models.devices import autocast
from exante.models.forward import can_share, choose_attention, scoring
from exante.models.load import load_model
from exante.models.memory import settled
from exante.training import PairLoss, TrainSettings
from exante.training.data import collate_pairs, groups_of
from exante.training.losses import pair_loss


def run(request: Request, meter: Meter) -> Trained:
    """Train on the request's batches in their order; order inside a batch is free.

    The engine's own batches, model call and loss, in a plain loop. Reference log-probs come with
    the pairs, as they do from the sampler. Precision, threads and batch size are those of
    `request.setup`; the optimizer is TRL's: fused AdamW without decay at a constant rate, gradients
    clipped at 1.
    """
    spec, device = request.spec, request.spec.device
    batches, _ = batches_of(request)
    groups = [groups_of(pairs) for pairs in batches]
    pad_id = chat_of(request.model).pad_id
    model = load_model(request.model, device=device)
    meter.model_loaded(model)
    shared = can_share(model)
    choose_attention(model, max(item.group.tokens for batch in groups for item in batch))
    if spec.compiled:
        compile_layers(model)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=spec.learning_rate, weight_decay=0.0, fused=True
    )
    settings, budget = PairLoss(beta=spec.beta, anchor=0.0), TrainSettings().batch_tokens
    losses, numbers = [], []
    meter.training_starts(model)
    with scoring(model, shared=shared), settled():
        for number, batch in enumerate(groups, start=1):
            whole = torch.zeros((), device=device)
            for part in collate_pairs(batch, pad_id=pad_id, tokens=budget, shared=shared):
                moved = _moved(part, device)
                with autocast(device, request.setup.precision):
                    loss, logged = pair_loss(model(**moved["inputs"]), moved, settings)
                loss.backward()
                whole += loss.detach()
                numbers.append(logged)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(whole)
            meter.step_done(last=number == len(groups))
    return trained(request, model, meter, stacked(losses))


def _moved(value: Any, device: str) -> Any:
    if isinstance(value, dict):
        return {name: _moved(part, device) for name, part in value.items()}
    return value.to(device) if isinstance(value, Tensor) else value
