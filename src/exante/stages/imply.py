"""Asks models that are aligned to one aim each what judged turns are worth: PeCAN's labels.

Every turn is scored by the reference and by both models; nothing is generated, nothing trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, pstdev

from pydantic import Field

from exante.errors import InputError
from exante.implied import Implied, Scores, Turn, implied
from exante.models.load import load_chat, load_model
from exante.models.score import score
from exante.preferences import Group
from exante.records import read_jsonl, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.pair import groups_of
from exante.stages.prompts import Split

IMPLIED = "implied.jsonl"
_MODELS = ("reference", "helpful", "safe")


class ImplyConfig(Config):
    """How log-ratios become rewards."""

    beta: float = Field(default=0.1, gt=0)
    """Pull towards the reference in the trainings of both models; a nat of log-ratio is worth so
    much."""
    split: Split = "train"
    """Split of the prompts; ignored for prompts that have only one list."""


def run(config: ImplyConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the implied reward and cost of every finished turn.

    Raises:
        InputError: no prompt has a finished turn of the reference, which costs are measured from.
    """
    groups = groups_of(inputs, config.split)
    rows = _rows(groups)
    found: dict[str, list[float]] = {}
    for done, role in enumerate(_MODELS):
        tell(done, len(_MODELS), "models")
        found[role] = _scored(model_of(inputs.one(role)), list(rows.values()))
    tell(len(_MODELS), len(_MODELS), "models")
    scores = [Scores(*three) for three in zip(*(found[role] for role in _MODELS), strict=True)]
    worth = implied(groups, dict(zip(rows, scores, strict=True)), beta=config.beta)
    if not worth:
        raise InputError(
            "no prompt has a finished turn that the reference sampled",
            where=str(next(iter(inputs.many("judged").values()))),
            fix="judge samples of the reference; answers of a data set or a teacher are none",
        )
    write_jsonl(out / IMPLIED, worth)
    point_at(model_of(inputs.one("reference")), out)
    return {
        "turns": len(worth),
        "left_out": len(rows) - len(worth),
        "reward_spread": pstdev(one.reward for one in worth),
        "cost_spread": pstdev(one.cost for one in worth),
        "divergence": {
            role: _divergence(groups, rows, found["reference"], found[role])
            for role in ("helpful", "safe")
        },
    }


def implied_of(folder: Path) -> list[Implied]:
    """What a finished step of this stage says of turns.

    Raises:
        InputError: the step is of another stage.
    """
    path = folder / IMPLIED
    if not path.is_file():
        raise InputError(
            "says nothing of what turns are worth", where=str(folder), fix="name an imply step"
        )
    return read_jsonl(path, Implied)


def _rows(groups: Sequence[Group]) -> dict[Turn, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Prompt and turn in tokens of every finished turn, equal ones once."""
    return {
        (group.example.id, c.generation.token_ids): (
            c.generation.prompt_ids,
            c.generation.token_ids,
        )
        for group in groups
        for c in group.candidates
        if c.generation.finish == "stop"
    }


def _scored(folder: Path, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[float]:
    """Log-probs under the model, which is let go of before the next one is loaded."""
    return score(load_model(folder), rows, pad_id=load_chat(folder).pad_id)


def _divergence(
    groups: Sequence[Group],
    rows: dict[Turn, tuple[tuple[int, ...], tuple[int, ...]]],
    reference: Sequence[float],
    other: Sequence[float],
) -> float:
    """KL(reference || other) in nats per turn, on the reference's own turns."""
    away = {turn: r - o for turn, r, o in zip(rows, reference, other, strict=True)}
    own = [
        away[turn]
        for group in groups
        for c in group.candidates
        if c.generation.source == "policy"
        and (turn := (group.example.id, c.generation.token_ids)) in away
    ]
    return mean(own) if own else 0.0


STAGE = Stage(
    "imply", 1, ImplyConfig, run, reads=("judged", "prompts", "reference", "helpful", "safe")
)
