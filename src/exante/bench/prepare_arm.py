"""What all arms share: starting weights, pairs, and the reference log-probs of both sides."""

from __future__ import annotations

from exante.bench.data import make_batches
from exante.bench.meter import Meter
from exante.bench.request import Prepared, Request
from exante.bench.weights import chat_of, save_random_model
from exante.models.folders import weights_fingerprint
from exante.models.load import load_model
from exante.models.score import score
from exante.records import write_jsonl


def run(request: Request, _: Meter) -> Prepared:
    """Write the model folder (once per shape) and the pairs, scored under these weights.

    On-policy data has its reference log-probs from the sampler; random pairs get theirs here.
    """
    spec = request.spec
    if not (request.model / "config.json").is_file():
        save_random_model(request.model, spec.shape, spec.seed)
    model = load_model(request.model, device=spec.device)
    pairs = [pair for batch in make_batches(spec) for pair in batch]
    rows = [(p.prompt_ids, p.chosen_ids) for p in pairs]
    rows += [(p.prompt_ids, p.rejected_ids) for p in pairs]
    sums = score(
        model,
        rows,
        pad_id=chat_of(request.model).pad_id,
        # Logits of all positions are held at once here.
        batch_tokens=max(256, (1 << 28) // spec.shape.vocabulary // 4),
        precision=spec.precision,
    )
    chosen, rejected = sums[: len(pairs)], sums[len(pairs) :]
    write_jsonl(
        request.pairs,
        (
            pair.model_copy(update={"chosen_reference": c, "rejected_reference": r})
            for pair, c, r in zip(pairs, chosen, rejected, strict=True)
        ),
    )
    return Prepared(
        weights_hash=weights_fingerprint(request.model),
        parameters=sum(p.numel() for p in model.parameters()),
        pairs=len(pairs),
    )
