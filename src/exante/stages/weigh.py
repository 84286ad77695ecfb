"""Makes preference pairs from judged turns, weighed by reward and cost at a price of cost.

The price is a setting, comes from a controller, or is solved for once. Reward and cost are the
judge's, or those that models imply.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from exante.errors import InputError
from exante.implied import by_models
from exante.preferences import Group
from exante.records import Kind, write_json, write_jsonl
from exante.selections import Valued, by_label
from exante.stages.base import Config, Inputs, Stage, Summary, Tell
from exante.stages.control import multiplier_of
from exante.stages.imply import implied_of
from exante.stages.pair import PAIRS, groups_of
from exante.stages.prompts import Split
from exante.tradeoffs import (
    WeighSettings,
    expected_cost,
    samples_of,
    solve_multiplier,
    weighed_pairs,
)


class SolveConfig(Config):
    """The constraint whose price is solved for on the reference's own samples."""

    limit: float = 0.0
    """Largest mean cost."""
    beta: float = Field(default=0.1, gt=0)
    """Pull towards the reference, as in the training that follows."""
    cap: float = Field(default=20.0, gt=0)
    """Highest price; taken where none meets the limit."""
    kinds: tuple[Kind, ...] = Field(default=("harmful",), min_length=1)
    """Kinds of prompts over which the mean is taken."""


class WeighConfig(Config):
    """What a unit of cost is worth, and how pairs follow."""

    multiplier: float = Field(default=1.0, ge=0)
    """Price of a unit of cost in units of reward; a controller's value replaces it."""
    solve: SolveConfig | None = None
    """Where given, the price is solved for instead."""
    split: Split = "train"
    """Split of the prompts; ignored for prompts that have only one list."""
    choice: WeighSettings = WeighSettings()
    """Shape of the cost, labels and caps."""


def run(config: WeighConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the pairs, and the account of what was made and dropped."""
    groups = groups_of(inputs, config.split)
    control, models = inputs.optional("control"), inputs.optional("implied")
    valued = by_models(implied_of(models)) if models else by_label
    solved: Summary = {}
    if config.solve is None:
        multiplier = multiplier_of(control, config.multiplier)
    elif control is None:
        multiplier, solved = _solved(groups, config.solve, config.choice, valued)
    else:
        raise InputError(
            "the price of cost is both solved for and given by a controller",
            fix="leave out `solve` or `control`",
        )
    pairs, counts = weighed_pairs(groups, multiplier, config.choice, valued)
    write_jsonl(out / PAIRS, pairs)
    write_json(out / "counts.json", counts.model_dump())
    return {"rule": "weigh", "multiplier": multiplier, **solved, **counts.model_dump()}


def _solved(
    groups: list[Group], config: SolveConfig, choice: WeighSettings, valued: Valued
) -> tuple[float, Summary]:
    """The price, and what it is expected to do to the reference.

    Raises:
        InputError: no turn of the reference has a known reward and cost.
    """
    asked = [group for group in groups if group.example.kind in config.kinds]
    samples = samples_of(asked, choice.shape, valued)
    if not samples:
        raise InputError(
            f"no sampled turn on {' or '.join(config.kinds)} prompts has a known reward and cost",
            fix="judge samples of the reference, or name other kinds",
        )
    # A unit of reward is `unit` nats, also in the exponent of the dual.
    beta = config.beta / choice.unit
    multiplier = solve_multiplier(samples, beta=beta, limit=config.limit, cap=config.cap)
    expected = expected_cost(samples, multiplier, beta=beta)
    return multiplier, {
        "expected_cost": expected,
        "reference_cost": _mean_cost(samples),
        "limit_met": expected <= config.limit + 1e-6,
    }


def _mean_cost(samples: list[list[tuple[float, float]]]) -> float:
    return sum(sum(c for _, c in turns) / len(turns) for turns in samples) / len(samples)


STAGE = Stage(
    "weigh", 1, WeighConfig, run, reads=("judged", "prompts"), optional=("control", "implied")
)
