"""Log-probs of given turns by a forward pass, whoever sampled them."""

from __future__ import annotations

from exante.bench.meter import Meter
from exante.bench.sampled import prompts_of
from exante.bench.sampling_request import SampleRequest, Scored, Turn
from exante.bench.weights import chat_of
from exante.errors import RunError
from exante.models.load import load_model
from exante.models.score import score
from exante.records import read_jsonl


def run(request: SampleRequest, _: Meter) -> Scored:
    """One sum per turn, in the order of the file.

    Raises:
        RunError: the request names no turns.
    """
    if request.turns is None:
        raise RunError("no turns were given", where=request.name)
    prompts = prompts_of(request)
    rows = [(prompts[turn.prompt].ids, turn.token_ids) for turn in read_jsonl(request.turns, Turn)]
    model = load_model(request.model, dtype=request.setup.precision, device=request.spec.device)
    pad_id = chat_of(request.model).pad_id
    return Scored(sums=score(model, rows, pad_id=pad_id, precision=request.setup.precision))
