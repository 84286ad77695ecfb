"""Comparisons: methods from the same base, prompts, answers and token budgets, over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from exante import recipes
from exante.durable import write_text
from exante.errors import InputError, unknown_name
from exante.models.folders import MINIATURE
from exante.models.ranks import from_main, ranks
from exante.pages.compared import Compared
from exante.pages.comparing import page
from exante.recipes import Listener, Recipe
from exante.recipes.plan import build
from exante.recipes.unite import united
from exante.records import write_json
from exante.stages.base import RECIPE
from exante.stages.contest import measured, paired, ranked, read_seed
from exante.stages.runs import recipe_of
from exante.workflows.evaluation import evaluation_steps, slug
from exante.workflows.performing import fitting, read_results, run_document

METHODS = (
    "refusal_sft",
    "template_trace",
    "dpo",
    "safedpo",
    "scdpo",
    "cdpo",
    "star_dss",
    "derta",
    "erpo",
)
"""What is compared where nothing else is asked for."""
_BUDGETS = {"sft_tokens": 1_500_000, "preference_tokens": 150_000}
"""Of the miniature; for a model or prompts of the user's, passes are the recipes' own."""
_COMMON = ("base", "prompts")
"""Steps that methods on equal terms share, if they read them at all."""
_OWN = ("suite", "evaluation", "report")
_SAID = ("model", "data", "rules", "judge", "lora", "sft_tokens", "preference_tokens")
_JSON, _PAGE = "compare.json", "compare.html"


def compared(
    methods: Sequence[str],
    *,
    asked: Mapping[str, Any],
    seeds: int,
    reference: str,
    changes: Mapping[str, Any],
    out: Path,
    only_seed: int | None = None,
    listener: Listener | None = None,
) -> Compared | None:
    """Run the comparison, a seed after the other; the page is written anew after each.

    `asked` are options by the names of the recipes' settings, None where one was not given. With
    `only_seed`, that seed's run is made and no page, so that seeds can run beside each other.
    Returns None then, and in a process that is not the main one.

    Raises:
        InputError: there is no such seed; see also `loaded` and `comparison_recipe`.
    """
    if seeds < 1:
        raise InputError("no seed is asked for", where=f"seeds={seeds}", fix="1 or more")
    if only_seed is not None and only_seed not in range(seeds):
        raise InputError(
            "is none of the seeds", where=f"only_seed={only_seed}", fix=f"0 to {seeds - 1}"
        )
    plans = loaded(methods, asked, reference)
    found: Compared | None = None
    for seed in range(seeds) if only_seed is None else [only_seed]:
        run = out / f"seed-{seed}"
        known = from_main(partial(_known_names, run))
        document = comparison_recipe(_seeded(plans, seed), reference, known)
        run_document(document, changes=changes, out=run, listener=listener)
        if ranks().main and only_seed is None:
            found = write_comparison(out, plans, range(seed + 1), reference)
    return found


def loaded(names: Sequence[str], asked: Mapping[str, Any], reference: str) -> dict[str, Recipe]:
    """The recipes by their names, with the settings that were asked for.

    Raises:
        InputError: two of one name, the reference is none of them, or a setting is unknown.
    """
    found: dict[str, Recipe] = {}
    for name in names:
        known = recipes.settings_of(name)
        settings = fitting(known, asked)
        if {**known, **settings}.get("data") == MINIATURE:
            settings = {k: v for k, v in _BUDGETS.items() if known.get(k) is None} | settings
        recipe = recipes.load(name, settings)
        label = slug(recipe.name or Path(name).stem)
        if label in (*found, *_OWN, *_COMMON):
            raise InputError(
                f"another method or step is called {label}", where=name, fix="give it another name"
            )
        found[label] = recipe
    if reference not in found:
        raise unknown_name("method", reference, found, where="--reference")
    return found


def _known_names(run: Path) -> dict[str, str]:
    """What an earlier comparison in this folder, of other methods perhaps, called its steps."""
    names = recipe_of(run).get("names") if (run / RECIPE).is_file() else None
    return {str(k): str(v) for k, v in names.items()} if isinstance(names, dict) else {}


def comparison_recipe(
    plans: Mapping[str, Recipe], reference: str, known: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A recipe that makes all methods' models, what they share once, and measures them.

    Steps that an earlier comparison made keep the names that are `known`.

    Raises:
        InputError: methods start from different bases or prompts.
    """
    plan = united({name: recipe.raw for name, recipe in plans.items()}, _OWN, known)
    for method, names in plan.names.items():
        odd = next((step for step in _COMMON if names.get(step, step) != step), None)
        if odd:
            raise InputError(
                f"does not share the step {odd} with the other methods",
                where=method,
                fix="extends: measured, and leave its steps as they are",
            )
    settings = next(iter(plans.values())).settings
    suite = {
        "stage": "attack",
        "prompts": "prompts",
        "models": "base",
        "turn_tokens": "$turn_tokens",
        "split": "test",
        "families": ["direct", "trained", "held_out"],
        "limits": {"harmful": 60, "benign": 120, "borderline": 120, "capability": 0},
    }
    report = {
        "stage": "report",
        "title": "Methods on equal terms",
        "recipe": "compare",
        "judged": "evaluation.judged",
        "prompts": "suite",
        "rules": "$rules",
        "against": ["base", reference],
    }
    base = {"base": {"of": "base", "trace": "free"}}
    evaluation = evaluation_steps({**base, **plan.outcomes})
    kept = {name: settings[name] for name in ("rules", "judge", "turn_tokens")}
    steps = {**plan.steps, "suite": suite, "evaluation": evaluation, "report": report}
    return {"name": "compare", "settings": kept, "steps": steps, "names": plan.known}


def write_comparison(
    out: Path, plans: Mapping[str, Recipe], seeds: Sequence[int], reference: str
) -> Compared:
    """Put the finished runs of these seeds into one table and one page."""
    runs = {seed: out / f"seed-{seed}" for seed in seeds}
    read = [read_seed(run / "report") for run in runs.values()]
    settings = next(iter(plans.values())).settings
    rows = [
        measured(name, read).model_copy(update={"badge": plan.badge, "paper": plan.paper})
        for name, plan in plans.items()
    ]
    found = Compared(
        schema=1,
        base=measured("base", read),
        methods=ranked(rows),
        reference=reference,
        comparisons=paired(read, list(plans), reference),
        seeds=list(runs),
        settings={name: _said(name, settings.get(name)) for name in _SAID},
        reports={str(seed): f"seed-{seed}/report.html" for seed in runs},
        environment=read_results(next(iter(runs.values()))).environment,
    )
    write_json(out / _JSON, found.model_dump(mode="json", by_alias=True))
    write_text(out / _PAGE, page(found))
    return found


def _said(name: str, value: Any) -> str:
    if name == "lora":
        return f"rank {value['rank']}" if value else "none: all weights are trained"
    return str(value or "as each recipe says")


def _seeded(plans: Mapping[str, Recipe], seed: int) -> dict[str, Recipe]:
    return {
        name: build(recipes.changed(plan.raw, {"seed": seed}, name), name)
        for name, plan in plans.items()
    }
