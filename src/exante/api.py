"""What Python users call: the commands `align`, `evaluate` and `compare`, and what they leave.

Everything that a command does is done here, too, in the same run folders: a run that was begun on
the command line is continued from Python, and the other way round. Nothing is printed; steps are
told to a listener, by default to the logger `exante`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exante.errors import InputError
from exante.integrations.assistant import Assistant
from exante.pages.compared import Compared
from exante.pages.results import Results
from exante.recipes import Listener
from exante.stages.card import card_of
from exante.stages.report import PAGE
from exante.stages.runs import final_model
from exante.workflows.comparison import METHODS as METHODS
from exante.workflows.comparison import compared
from exante.workflows.evaluation import Chosen as Chosen
from exante.workflows.evaluation import Evidence as Evidence
from exante.workflows.evaluation import evaluation_recipe
from exante.workflows.performing import lora_of, read_results, reusing, run_document, run_recipe

ATTACKS = ("direct", "held_out", "separate")
"""Attack families that an evaluation uses where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder: the evidence, and the model that was made."""

    folder: Path

    @property
    def results(self) -> Results:
        """All numbers, with intervals and counts.

        Raises:
            InputError: the run has not come to its report.
        """
        return read_results(self.folder)

    @property
    def has_report(self) -> bool:
        """Has it come to its report? Not every recipe has one."""
        return self.report.is_file()

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.folder / PAGE

    @property
    def model(self) -> Path:
        """The folder of the last model, in the usual format of `transformers`.

        Raises:
            InputError: the run has made no model yet.
        """
        return final_model(self.folder)

    def card(self) -> str:
        """The model card in Markdown: data, rules, results, limits, how to load it.

        Raises:
            InputError: the run has made no model yet.
        """
        return card_of(self.folder)

    def assistant(self, *, device: str | None = None) -> Assistant:
        """The last model, loaded.

        Raises:
            InputError: the run has made no model yet.
        """
        return Assistant(str(self.folder), device=device)


def align(
    recipe: str = "erpo",
    *,
    output: str | Path,
    model: str | None = None,
    data: str | None = None,
    rules: str | None = None,
    teacher: str | None = None,
    judge: str | None = None,
    lora: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    until: str | None = None,
    reuse: str | Path | None = None,
    report_to: str = "",
    push_to: str | None = None,
    listener: Listener | None = None,
) -> Run:
    """Align a model by a recipe, or continue where the run in `output` stopped.

    `recipe` is a built-in one or a file. `model` is `miniature`, a folder or a hub id; `data` is
    `miniature`, a mix (YAML), files or `hub:OWNER/NAME`; `rules`, `teacher` and `judge` are names,
    files or `server:URL#MODEL`; what is None is as the recipe says. `lora` is the rank of adapters
    that are trained instead of all weights, `reuse` a run whose traces are taken where rules did
    not change. `settings` are changes by `step.field`, as `--set` takes them. `report_to` are
    trackers with commas between them, `push_to` is where on the hub the outcome goes in the end.

    Raises:
        InputError: an option or a file does not fit; nothing that was finished is lost.
        RunError: the work could not be finished; the same call continues.
    """
    asked: dict[str, Any] = {"model": model, "data": data, "rules": rules, "teacher": teacher}
    asked |= {"judge": judge, "seed": seed, "lora": lora_of(lora)}
    changes = dict(settings or {})
    if reuse is not None:
        changes = {**reusing(recipe, Path(reuse)), **changes}
    run_recipe(
        recipe,
        asked=asked,
        changes=changes,
        out=Path(output),
        until=until,
        report_to=report_to,
        push_to=push_to,
        listener=listener,
    )
    return Run(Path(output))


def evaluate(
    models: str | Path | Sequence[str | Path],
    *,
    output: str | Path,
    data: str | None = None,
    chosen: Chosen | None = None,
    rules: str | None = None,
    judge: str | None = None,
    attacks: Sequence[str] = ATTACKS,
    seed: int | None = None,
    evidence: Evidence | None = None,
    settings: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
) -> Run:
    """Attack one or several models, and report safety beside usefulness.

    `models` are model folders, run folders, `miniature`, hub ids or `server:URL#MODEL`; the others
    are compared with the first. Prompts are the test split of `data`, or the suites that were
    `chosen`, and of each kind as many as it says.
    `attacks` are families or groups, `evidence` is what shall be measured beyond one judge's
    verdict on one greedy turn, `settings` are changes by `step.field`.

    Raises:
        InputError: an option or a file does not fit; nothing that was finished is lost.
        RunError: the work could not be finished; the same call continues.
    """
    several = [models] if isinstance(models, str | Path) else models
    if not several:
        raise InputError("no model is named", where="models", fix="name one or several")
    names = [str(name) for name in several]
    asked = {"data": data, "rules": rules, "judge": judge, "seed": seed}
    document = evaluation_recipe(
        names, asked, list(attacks), evidence or Evidence(), chosen or Chosen()
    )
    run_document(document, changes=settings or {}, out=Path(output), listener=listener)
    return Run(Path(output))


def compare(
    methods: Sequence[str] = METHODS,
    *,
    output: str | Path,
    seeds: int = 3,
    reference: str = "erpo",
    model: str | None = None,
    data: str | None = None,
    rules: str | None = None,
    teacher: str | None = None,
    judge: str | None = None,
    lora: int | None = None,
    sft_tokens: int | None = None,
    preference_tokens: int | None = None,
    only_seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
) -> Compared | None:
    """Methods from the same base, prompts and answers, with the same tokens, on the same questions.

    `methods` are recipes or recipe files; all are tested against the `reference`. `output` holds a
    run per seed (from 0 on), the table and the page. The budgets count, for each method, tokens of
    supervised and of preference training. With `only_seed`, that seed's run is made and nothing
    else, as one job of several beside each other; the same call without it makes the page. Other
    options are as in `align`. Returns None with `only_seed`, and in a process of several that is
    not the main one.

    Raises:
        InputError: an option or a file does not fit; nothing that was finished is lost.
        RunError: the work could not be finished; the same call continues.
    """
    asked: dict[str, Any] = {"model": model, "data": data, "rules": rules, "teacher": teacher}
    asked |= {"judge": judge, "lora": lora_of(lora)}
    asked |= {"sft_tokens": sft_tokens, "preference_tokens": preference_tokens}
    return compared(
        methods,
        asked=asked,
        seeds=seeds,
        reference=reference,
        changes=settings or {},
        out=Path(output),
        only_seed=only_seed,
        listener=listener,
    )
