"""Evaluations as recipes put together in memory: models, suites, attacks, judges, repeats."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from exante import recipes
from exante.attacks.search import ASKING, SEARCH_GROUP, SEARCHES, SOFT
from exante.defences import DEFENCES
from exante.errors import InputError
from exante.judges.labelled import read_calibration
from exante.stages.prompts import EXAMPLES
from exante.stages.runs import final_model, trace_of
from exante.stages.served import PREFIX
from exante.workflows.defence import add_defences
from exante.workflows.performing import fitting
from exante.workflows.tamper import add_tampering

_STEPS = (
    *("prompts", "overlap", "suite", "attacked", "evaluation", "report", "defence"),
    *(f"{name}_prompts" for name in (*DEFENCES, "defence")),
)
_SEARCHING = (*SEARCHES, *SOFT, "search")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an evaluation may show beyond one judge's verdict on one greedy turn."""

    second_judge: str | None = None
    """Another judge of the same turns."""
    calibration: str | Path | None = None
    """A file with the first judge's agreement with people."""
    samples: int = 1
    """Turns per harmful prompt, at temperature 1, beside the greedy one."""
    attacker: str | None = None
    """Model that writes messages for families with an attacker."""
    tamper: tuple[int, ...] = ()
    """Numbers of steps of harmful fine-tuning after which the models are measured again."""
    defences: tuple[str, ...] = ()
    """Strategies around the prompt that the models are also measured under."""
    faithfulness: bool = False
    """Are the models' own traces edited, to see whether their answers follow?"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Prompts to evaluate on: whole suites, and how much of them."""

    suites: tuple[str, ...] = ()
    """As `exante.suites.parse_request` reads them; none takes the test split of `data`."""
    column: str | None = None
    """Column of the prompt."""
    kind: str | None = None
    """Kind of prompts that do not say theirs."""
    limit: int | None = None
    """Most prompts of a kind."""
    trained_on: tuple[str, ...] = ()
    """Files with training prompts, to look for near-duplicates."""


def evaluation_recipe(
    models: list[str],
    asked: Mapping[str, Any],
    attacks: list[str],
    evidence: Evidence = Evidence(),  # noqa: B008 (immutable)
    chosen: Chosen = Chosen(),  # noqa: B008 (immutable)
) -> dict[str, Any]:
    """A recipe that attacks and reports on models; the first is what others are compared with.

    Raises:
        InputError: suites and data are both given, or what only suites have without any.
    """
    _require_one_source(asked, chosen, evidence)
    _require_weights(models, attacks, evidence)
    known = recipes.settings_of("erpo")
    settings = {name: known[name] for name in ("data", "rules", "judge", "seed", "turn_tokens")}
    # Suites are prompts of the user's: nothing of the miniature judges them.
    settings |= fitting(settings, {**asked, "data": "suites"} if chosen.suites else asked)
    named: dict[str, str] = {}
    for name in models:
        named[_label(name, {*named, *_STEPS})] = str(_model_path(name))
    first = next(iter(named))
    # Prompts come first: a file that does not fit is found before any model is loaded.
    prompts = _prompts([name for name in attacks if name not in _SEARCHING], chosen, models)
    suite = {**prompts.pop("suite"), "models": list(named), "turn_tokens": "$turn_tokens"}
    steps: dict[str, Any] = {
        **prompts,
        **{label: {"stage": "source", "model": path} for label, path in named.items()},
        "suite": suite,
        "evaluation": _evaluation(named),
        "report": {
            "stage": "report",
            "recipe": "evaluate",
            "judged": "evaluation.judged",
            "prompts": "suite",
            "rules": "$rules",
            "base": first,
            "against": [first],
        },
    }
    _add(steps, evidence)
    _add_searches(steps, attacks, evidence.attacker)
    add_defences(steps, evidence.defences)
    add_tampering(steps, settings, list(named), evidence.tamper)
    if chosen.suites:
        del settings["data"]
    return {"name": "evaluate", "settings": settings, "steps": steps}


def _prompts(attacks: list[str], chosen: Chosen, models: list[str]) -> dict[str, Any]:
    """The steps that make the attacked prompts: of a test split, or of whole suites."""
    attack = {"stage": "attack", "prompts": "prompts", "split": "test", "families": attacks}
    if not chosen.suites:
        most = {"harmful": 60, "benign": 160, "borderline": 160, "capability": 120}
        limits = {kind: chosen.limit or number for kind, number in most.items()}
        source = {"stage": "source", "data": "$data", "seed": "$seed"}
        return {"prompts": source, "suite": {**attack, "limits": limits}}
    collect = {
        "stage": "collect",
        "suites": list(chosen.suites),
        "column": chosen.column,
        "kind": chosen.kind,
        "limit": chosen.limit,
        "seed": "$seed",
    }
    training = list(dict.fromkeys([*chosen.trained_on, *_training_files(models)]))
    return {
        "prompts": collect,
        "overlap": {"stage": "overlap", "prompts": "prompts", "training": training},
        "suite": {**attack, "seed": "$seed"},
    }


def _training_files(models: list[str]) -> list[str]:
    """Prompts that runs of ours were trained on."""
    files = (Path(name) / "training_prompts" / EXAMPLES for name in models)
    return [str(file) for file in files if file.is_file()]


def _require_one_source(asked: Mapping[str, Any], chosen: Chosen, evidence: Evidence) -> None:
    if chosen.suites and asked.get("data") is not None:
        raise InputError(
            "--data and --suite are both given",
            fix="--suite takes all prompts of a file, --data the test split; name one of them",
        )
    alone = {"--column": chosen.column, "--kind": chosen.kind, "--trained-on": chosen.trained_on}
    given = [name for name, value in alone.items() if value]
    if given and not chosen.suites:
        raise InputError(f"{given[0]} is for suites", fix="name a suite or file with --suite")
    if chosen.suites and evidence.tamper:
        raise InputError(
            "a suite has no prompts to train on but those it tests with",
            where="--tamper",
            fix="leave out --suite, or give prompts with --data",
        )


def _require_weights(models: list[str], attacks: list[str], evidence: Evidence) -> None:
    """What looks into a model, or writes the start of its turns, cannot be done to a server.

    Raises:
        InputError: it is asked for.
    """
    served = next((name for name in models if name.startswith(PREFIX)), None)
    wants = {
        "--tamper": evidence.tamper,
        "--defence": evidence.defences,
        "--faithfulness": evidence.faithfulness,
        "--attacks": [name for name in attacks if name in _SEARCHING],
    }
    given = next((option for option, value in wants.items() if value), None)
    if served and given:
        raise InputError(
            f"{given} needs the weights of every model, and {served} is behind a server",
            fix=f"leave out {given}, or its families that search; see docs/servers.md",
        )


def _evaluation(named: Mapping[str, str]) -> dict[str, Any]:
    return evaluation_steps(
        {name: {"of": name, "trace": trace_of(path)} for name, path in named.items()}
    )


def evaluation_steps(models: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Sampling and judging of every model: the step it is `of`, and whether its trace is opened."""
    return {
        "each": {name: dict(model) for name, model in models.items()},
        "steps": {
            "sampled": {
                "stage": "sample",
                "policy": "$of",
                "prompts": "suite",
                "trace": "$trace",
                "sampling": {"max_new_tokens": "$turn_tokens"},
            },
            "judged": {
                "stage": "judge",
                "generations": "sampled",
                "prompts": "suite",
                "judge": "$judge",
                "rules": "$rules",
            },
        },
    }


def _add(steps: dict[str, Any], evidence: Evidence) -> None:
    """The steps behind a second judge, a calibration and repeated samples."""
    inner, report = steps["evaluation"]["steps"], steps["report"]
    if evidence.calibration is not None:
        # Its numbers stand at the end of a report; whether it has any is known before.
        read_calibration(Path(evidence.calibration))
        report["calibration"] = str(evidence.calibration)
    if evidence.second_judge is not None:
        inner["second"] = {**inner["judged"], "judge": evidence.second_judge}
        report["second"] = "evaluation.second"
    if evidence.faithfulness:
        _add_edits(inner, report)
    if evidence.samples > 1:
        alone = {"benign": 0, "borderline": 0, "capability": 0}
        attacked = {**steps["suite"], "limits": {**steps["suite"].get("limits", {}), **alone}}
        # In front of the models that are asked.
        later = {name: steps.pop(name) for name in ("evaluation", "report")}
        steps |= {"attacked": attacked, **later}
        sampling = {**inner["sampled"]["sampling"], "n": evidence.samples, "temperature": 1.0}
        sampling["seed"] = "$seed"
        inner["repeated"] = {**inner["sampled"], "prompts": "attacked", "sampling": sampling}
        inner["repeated_judged"] = {
            **inner["judged"],
            "generations": "repeated",
            "prompts": "attacked",
        }
        report |= {"repeated": "evaluation.repeated_judged", "repeated_prompts": "attacked"}


def _add_searches(steps: dict[str, Any], attacks: list[str], attacker: str | None) -> None:
    """The steps behind families that look at the model: prompts for each model by itself.

    Raises:
        InputError: a family needs an attacker model, and none was named.
    """
    wanted = dict.fromkeys(
        member
        for name in attacks
        for member in (SEARCH_GROUP if name == "search" else (name,))
        if member in _SEARCHING
    )
    asking = [name for name in wanted if name in ASKING]
    if asking and attacker is None:
        raise InputError(
            "needs a model that writes its messages",
            where=f"--attacks {asking[0]}",
            fix="--attacker NAME: a model folder, a hub id or an endpoint",
        )
    inner, report = steps["evaluation"]["steps"], steps["report"]
    common = {"policy": "$of", "prompts": "suite", "trace": "$trace", "seed": "$seed"}
    prompts = ["suite"]
    families = [name for name in wanted if name not in SOFT]
    if families:
        search = {"stage": "search", **common, "families": families}
        inner["found"] = {**search, "attacker": attacker} if asking else search
        inner["found_sampled"] = {**inner["sampled"], "prompts": "found"}
        inner["found_judged"] = {
            **inner["judged"],
            "generations": "found_sampled",
            "prompts": ["suite", "found"],
        }
        report["searched"] = "evaluation.found_judged"
        prompts.append("evaluation.found")
    if any(name in SOFT for name in wanted):
        inner["soft"] = {"stage": "soft_attack", **common, "max_new_tokens": "$turn_tokens"}
        inner["soft_judged"] = {
            **inner["judged"],
            "generations": "soft",
            "prompts": ["suite", "soft"],
        }
        report["softened"] = "evaluation.soft_judged"
        prompts.append("evaluation.soft")
    if len(prompts) > 1:
        report["prompts"] = prompts


def _add_edits(inner: dict[str, Any], report: dict[str, Any]) -> None:
    """The steps that edit traces, sample behind them and judge."""
    inner["trace_edits"] = {
        "stage": "faith",
        "judged": "judged",
        "prompts": "suite",
        "rules": "$rules",
    }
    inner["edits_sampled"] = {**inner["sampled"], "prompts": "trace_edits"}
    inner["edits_judged"] = {
        **inner["judged"],
        "generations": "edits_sampled",
        "prompts": "trace_edits",
    }
    report |= {"edits": "evaluation.trace_edits", "edited": "evaluation.edits_judged"}


def slug(name: str) -> str:
    """The name with nothing but letters, digits, `_` and `-`."""
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in name)


def _model_path(name: str) -> Path | str:
    path = Path(name)
    return final_model(path).resolve() if path.is_dir() else name


def _label(name: str, taken: Collection[str]) -> str:
    """The folder's name as a step of a recipe; numbered where it is taken."""
    stem = slug(Path(name).name.rpartition("#")[2]) or "model"
    numbered = (f"{stem}_{number}" for number in count(2))
    return next(label for label in chain([stem], numbered) if label not in taken)
