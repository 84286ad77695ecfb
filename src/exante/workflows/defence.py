"""The steps behind `--defence`: the same plain prompts under each strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exante.defences import NONE, Defence, chosen


def add_defences(steps: dict[str, Any], names: Sequence[str]) -> None:
    """Add what every model does with plain prompts under each defence, and with none.

    A check is a second turn of the same model: its question is sampled like a prompt, and the
    answer without defence is withheld where it says so.

    Raises:
        InputError: there is no such defence.
    """
    if not names:
        return
    strategies = chosen(names)
    # In front of the models that are asked.
    later = {name: steps.pop(name) for name in ("evaluation", "report")}
    inner, report = later["evaluation"]["steps"], later["report"]
    limits = {**steps["suite"].get("limits", {}), "capability": 0}
    steps["defence_prompts"] = {**steps["suite"], "families": [], "limits": limits}
    for one in strategies:
        if one.name != NONE and not one.checks_answer:
            steps[_prompts(one)] = _defend(one)
    asked: dict[str, Any] = {}
    for one in strategies:
        asked |= _asked(one, inner)
    steps |= later
    steps["defence"] = {"each": dict(later["evaluation"]["each"]), "steps": asked}
    steps["report"] = steps.pop("report")
    report["defended"] = {one.name: f"defence.{one.name}_judged" for one in strategies}
    report["defence_prompts"] = "defence_prompts"


def _asked(one: Defence, inner: dict[str, Any]) -> dict[str, Any]:
    """Steps of one model under one defence, named after it."""
    name = one.name
    prompts = "defence_prompts" if name == NONE else _prompts(one)
    sampled = {**inner["sampled"], "prompts": prompts}
    steps: dict[str, Any] = {}
    if one.checks_answer:
        steps[prompts] = {**_defend(one), "generations": f"{NONE}_sampled"}
    if one.question:
        steps[f"{name}_asked"] = sampled
        answers = {"generations": f"{NONE}_sampled", "checks": f"{name}_asked"}
        steps[f"{name}_sampled"] = {"stage": "withhold", **answers}
    else:
        steps[f"{name}_sampled"] = sampled
    judged = {"generations": f"{name}_sampled", "prompts": "defence_prompts"}
    return {**steps, f"{name}_judged": {**inner["judged"], **judged}}


def _defend(one: Defence) -> dict[str, Any]:
    return {"stage": "defend", "prompts": "defence_prompts", "defence": one.name}


def _prompts(one: Defence) -> str:
    return f"{one.name}_prompts"
