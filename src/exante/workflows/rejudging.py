"""Another judge's opinion on a finished run: a recipe over the turns that are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exante.errors import InputError
from exante.recipes.run import Scope
from exante.stages.base import RECIPE, STAMP
from exante.stages.runs import recipe_of

_KEPT_IN_REPORT = ("stage", "title", "rules", "base", "against")
"""Of a report on models, what holds whoever judges."""


@dataclass(frozen=True, slots=True)
class _More:
    """Turns beside those on the common prompts, where a run has them."""

    role: str
    """What the report calls the judged ones."""
    sampled: str
    """Step of the turns, of each model."""
    made: str | None = None
    """Step of prompts that were made for each model alone."""
    common: str | None = None
    """Step of prompts that all models got, and the role that the report reads them by."""
    common_role: str = ""


_FURTHER = (
    _More("searched", "found_sampled", made="found"),
    _More("softened", "soft", made="soft"),
    _More("repeated", "repeated", common="attacked", common_role="repeated_prompts"),
)


def rejudge_recipe(run: Path, judge: str) -> tuple[dict[str, Any], Scope]:
    """A recipe that judges the turns of a finished run anew, and the folders it starts from.

    Raises:
        InputError: the folder holds no evaluation.
    """
    sampled = {
        path.name.removeprefix("evaluation.").removesuffix(".sampled"): path
        for path in sorted(run.glob("evaluation.*.sampled"))
    }
    if not sampled or not _is_there(run / "suite"):
        raise InputError(
            "holds no evaluation", where=str(run), fix="give the folder of `align` or `evaluate`"
        )
    before = _evaluated(run)
    ordered = [name for name in before["steps"]["evaluation"]["each"] if name in sampled]
    report = {k: v for k, v in before["steps"]["report"].items() if k in _KEPT_IN_REPORT}
    evaluation: dict[str, Any] = {
        "each": {name: {"of": f"sampled_{name}"} for name in ordered},
        "steps": {
            "judged": {
                "stage": "judge",
                "generations": "$of",
                "prompts": "suite",
                "judge": judge,
                "rules": "$rules",
            }
        },
    }
    report |= {"judged": "evaluation.judged", "prompts": ["suite"]}
    given: Scope = {"suite": run / "suite", **{f"sampled_{n}": sampled[n] for n in ordered}}
    for more in _FURTHER:
        if all(_is_there(run / f"evaluation.{name}.{more.sampled}") for name in ordered):
            _add(more, evaluation, report, given, run)
    steps = {"evaluation": evaluation, "report": report}
    settings = {"rules": before["settings"]["rules"]}
    return {"name": f"rejudge by {judge}", "settings": settings, "steps": steps}, given


def _evaluated(run: Path) -> dict[str, Any]:
    """The recipe of a run that ends with an evaluation.

    Raises:
        InputError: it is another one.
    """
    found = recipe_of(run)
    steps = found["steps"]
    evaluation = steps.get("evaluation")
    each = evaluation.get("each") if isinstance(evaluation, dict) else None
    if not isinstance(each, dict) or not isinstance(steps.get("report"), dict):
        raise InputError(
            "has no evaluation with a report",
            where=str(run / RECIPE),
            fix="give the folder of `align` or `evaluate`",
        )
    if "rules" not in found["settings"]:
        raise InputError(
            "has no setting `rules`", where=str(run / RECIPE), fix="write it there: rules: general"
        )
    return found


def _add(
    more: _More, evaluation: dict[str, Any], report: dict[str, Any], given: Scope, run: Path
) -> None:
    """Judge further turns of every model, too."""
    judged = f"{more.role}_judged"
    prompts: str | list[str] = more.common or ["suite", f"${more.made}"]
    for name, items in evaluation["each"].items():
        given[f"{more.role}_{name}"] = run / f"evaluation.{name}.{more.sampled}"
        items[more.role] = f"{more.role}_{name}"
        if more.made:
            given[f"{more.made}_of_{name}"] = run / f"evaluation.{name}.{more.made}"
            items[more.made] = f"{more.made}_of_{name}"
            report["prompts"].append(items[more.made])
    if more.common:
        given[more.common] = run / more.common
        report[more.common_role] = more.common
    evaluation["steps"][judged] = {
        **evaluation["steps"]["judged"],
        "generations": f"${more.role}",
        "prompts": prompts,
    }
    report[more.role] = f"evaluation.{judged}"


def _is_there(step: Path) -> bool:
    return (step / STAMP).is_file()
