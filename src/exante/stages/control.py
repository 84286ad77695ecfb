"""Reads how much a policy's own turns cost, and sets the price of cost for the next round.

The policy that was sampled goes on as it is: a controller changes what the next pairs are worth.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Literal

from pydantic import Field, model_validator

from exante.errors import InputError
from exante.labels import cost_of
from exante.objectives.control import confidence, dual, log_dual, rectified
from exante.records import Kind, Record, write_json
from exante.stages.base import (
    Config,
    Inputs,
    Stage,
    Summary,
    Tell,
    document_of,
    model_of,
    point_at,
)
from exante.stages.judge import judged_of
from exante.stages.prompts import Split, prompts_by_id

CONTROL = "control.json"


class ControlConfig(Config):
    """How the multiplier follows the cost."""

    rule: Literal["dual", "log_dual", "rectified"] = "dual"
    """`dual` and `log_dual` follow the mean cost, `rectified` the mean of costs above 0."""
    multiplier: float = Field(default=1.0, ge=0)
    """Price of cost before the first controller; later ones take the last one's value."""
    rate: float = Field(default=1.0, gt=0)
    """How far the multiplier goes for a cost of 1."""
    limit: float = 0.0
    """Largest mean cost; `rectified` has none, it aims at no cost above 0 at all."""
    cap: float = Field(default=20.0, gt=0)
    """Highest multiplier."""
    decay: float = Field(default=0.0, ge=0, lt=1)
    """Share by which `rectified` falls at each update; without it, it never does."""
    doubt: float = Field(default=0.05, gt=0, lt=1)
    """Chance that the true mean lies beyond the radius."""
    kinds: tuple[Kind, ...] = Field(default=("harmful",), min_length=1)
    """Kinds of prompts over which means are taken: plain ones would make up for unsafe turns."""
    split: Split = "train"
    """Split of the prompts; ignored for prompts that have only one list."""

    @model_validator(mode="after")
    def _settings_are_those_of_the_rule(self) -> ControlConfig:
        if self.rule != "rectified" and self.decay:
            raise ValueError(f"rule {self.rule} does not read decay")
        if self.rule == "log_dual" and self.multiplier == 0:
            raise ValueError("log_dual never leaves a multiplier of 0: start above it")
        return self


class Signal(Record):
    """The cost of a policy, of which a prompt is one observation."""

    cost: float
    """Mean over prompts of the mean cost of a prompt's turns."""
    radius: float
    """How far the true mean may lie above it."""
    excess: float
    """The same mean of costs, those below 0 counted as 0."""
    prompts: int
    turns: int
    unknown: int
    """Turns whose cost is not known; they are in no mean."""


def run(config: ControlConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the signal and the next multiplier, and point at the policy."""
    judged = inputs.one("judged")
    signal = measured(inputs, config)
    used = multiplier_of(inputs.optional("control"), config.multiplier)
    slack = config.limit - signal.cost - signal.radius
    decision = {
        "rule": config.rule,
        "multiplier": used,
        "next_multiplier": _next(config, used, signal),
        "signal": signal.model_dump(),
        "slack": slack,
        "feasible": slack > 0,
    }
    write_json(out / CONTROL, decision)
    point_at(model_of(judged), out)
    return decision


def measured(inputs: Inputs, config: ControlConfig) -> Signal:
    """What the policy's own turns cost, on prompts of the kinds asked for.

    Raises:
        InputError: fewer than two prompts have a turn of known cost, which says nothing of a mean.
    """
    judged = [j for j in judged_of(inputs.one("judged")) if j.generation.source == "policy"]
    needed = [j.generation.example_id for j in judged]
    examples = prompts_by_id(inputs.one("prompts"), config.split, needed=needed)
    asked = [j for j in judged if examples[j.generation.example_id].kind in config.kinds]
    costs: dict[str, list[float]] = defaultdict(list)
    for turn in asked:
        cost = cost_of(turn.judgement)
        if cost is not None:
            costs[turn.generation.example_id].append(cost)
    if len(costs) < 2:
        raise InputError(
            f"{len(costs)} {' or '.join(config.kinds)} prompts have turns of known cost",
            fix="sample and judge more prompts, or name other kinds",
        )
    means = [mean(found) for found in costs.values()]
    turns = sum(map(len, costs.values()))
    return Signal(
        cost=mean(means),
        radius=stdev(means) * confidence(len(means), doubt=config.doubt),
        excess=mean(mean(max(cost, 0.0) for cost in found) for found in costs.values()),
        prompts=len(costs),
        turns=turns,
        unknown=len(asked) - turns,
    )


def multiplier_of(control: Path | None, first: float) -> float:
    """The multiplier that the last controller asks for; `first` before any.

    Raises:
        ArtefactError: the folder is no controller's.
    """
    if control is None:
        return first
    return float(document_of(control, CONTROL, fix="name a control step")["next_multiplier"])


def _next(config: ControlConfig, used: float, signal: Signal) -> float:
    if config.rule == "rectified":
        return rectified(used, signal.excess, rate=config.rate, cap=config.cap, decay=config.decay)
    rule = dual if config.rule == "dual" else log_dual
    return rule(used, signal.cost, limit=config.limit, rate=config.rate, cap=config.cap)


STAGE = Stage("control", 1, ControlConfig, run, reads=("judged", "prompts"), optional=("control",))
