"""The command line: parse, call one function, print. Heavy imports wait until they are used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from exante import __version__
from exante.cli.bench import bench_app
from exante.cli.compare import compare
from exante.cli.data import data_app
from exante.cli.judges import judge_app
from exante.cli.suites import (
    Column,
    KindOfRest,
    Limit,
    SuiteNames,
    TrainedOn,
    known_kind,
    suites_app,
)
from exante.errors import ExanteError, InputError

if TYPE_CHECKING:
    from exante.pages.results import Results

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Teach an open language model to reason about safety before it answers, and prove it.",
)
rules_app = typer.Typer(no_args_is_help=True, help="Look at rule sets and check your own.")
miniature_app = typer.Typer(no_args_is_help=True, help="The embedded world and its base model.")
app.add_typer(rules_app, name="rules")
app.add_typer(miniature_app, name="miniature")
app.add_typer(bench_app, name="bench")
app.add_typer(judge_app, name="judge")
app.add_typer(suites_app, name="suites")
app.add_typer(data_app, name="data")
app.command()(compare)

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Run folder; the same command continues there.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STEP.FIELD=VALUE", help="Change a setting; repeatable."),
]
Seed = Annotated[int, typer.Option(help="Seed of prompts, sampling and training.")]
SeedOrNone = Annotated[int | None, typer.Option(help="Seed of prompts, sampling and training.")]
Rules = Annotated[str | None, typer.Option(help="general, miniature, or a YAML file.")]
JudgeName = Annotated[str | None, typer.Option(help="Who judges; see `exante ls judges`.")]
RulesName = Annotated[str, typer.Argument(help="general, miniature, or a YAML file.")]
ModelName = Annotated[str, typer.Argument(help="A model folder, a run folder, or miniature.")]

Attacks = Annotated[str, typer.Option(help="Families or groups with commas between them.")]
SecondJudge = Annotated[
    str | None, typer.Option(help="Another judge of the same turns, shown beside the first.")
]
CalibrationFile = Annotated[
    Path | None, typer.Option(help="What `judge calibrate -o` wrote: corrected rates, too.")
]
Samples = Annotated[int, typer.Option(help="Turns per harmful prompt for success at k.", min=1)]
Attacker = Annotated[
    str | None, typer.Option(help="Model that writes messages for `pair` and `tap`.")
]
Tamper = Annotated[
    str, typer.Option(help="Fine-tune on harm for so many steps, and measure again: 10,50.")
]
Defences = Annotated[
    str, typer.Option("--defence", help="Strategies around the prompt, with commas, or all.")
]
Faithfulness = Annotated[
    bool, typer.Option("--faithfulness", help="Edit traces: do decisions and answers follow?")
]


@app.command()
def align(
    config: Annotated[
        str | None, typer.Argument(help="A recipe file, instead of --recipe.")
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="A built-in recipe; see `exante ls recipes`.")
    ] = "erpo",
    model: Annotated[str | None, typer.Option(help="miniature, a folder, or a hub id.")] = None,
    data: Annotated[
        str | None, typer.Option(help="miniature, or JSONL/CSV files with commas between them.")
    ] = None,
    rules: Rules = None,
    teacher: Annotated[
        str | None, typer.Option(help="Who writes traces; see `exante ls teachers`.")
    ] = None,
    judge: JudgeName = None,
    changes: Changes = None,
    until: Annotated[str | None, typer.Option(help="Stop after this step or stage.")] = None,
    seed: SeedOrNone = None,
    output: Output = Path("runs/align"),
    as_json: AsJson = False,
) -> None:
    """Align a model by a recipe; without arguments, the embedded model by ERPO.

    Example: exante align --model ./my-model --data prompts.jsonl --rules general -o runs/mine
    """
    from exante.cli.runs import run_recipe

    asked: dict[str, Any] = {"model": model, "data": data, "rules": rules}
    asked |= {"teacher": teacher, "judge": judge, "seed": seed}
    results = run_recipe(
        config or recipe, asked=asked, changes=changes_of(changes), out=output, until=until
    )
    _show(results, output, as_json)


@app.command()
def evaluate(
    models: Annotated[list[str], typer.Argument(help="Model folders, run folders, or miniature.")],
    data: Annotated[
        str | None, typer.Option(help="miniature, or files of which a test split is taken.")
    ] = None,
    suite: SuiteNames = None,
    column: Column = None,
    kind: KindOfRest = None,
    limit: Limit = None,
    trained_on: TrainedOn = None,
    rules: Rules = None,
    judge: JudgeName = None,
    attacks: Attacks = "direct,held_out,separate",
    second_judge: SecondJudge = None,
    calibration: CalibrationFile = None,
    samples: Samples = 1,
    attacker: Attacker = None,
    tamper: Tamper = "",
    defence: Defences = "",
    faithfulness: Faithfulness = False,
    changes: Changes = None,
    seed: SeedOrNone = None,
    output: Output = Path("runs/evaluate"),
    as_json: AsJson = False,
) -> None:
    """Attack one or several models and report safety beside usefulness.

    Example: exante evaluate miniature runs/demo -o runs/check
    Example: exante evaluate ./my-model --suite xstest --suite harmbench=behaviors.csv -o runs/s
    """
    from exante.cli.evaluation import Chosen, Evidence, evaluation_recipe
    from exante.cli.runs import run_document

    asked = {"data": data, "rules": rules, "judge": judge, "seed": seed}
    files = tuple(str(path) for path in trained_on or ())
    chosen = Chosen(tuple(suite or ()), column, known_kind(kind), limit, files)
    measured = str(calibration) if calibration else None
    steps = _whole_numbers(tamper)
    defences = tuple(name for name in defence.split(",") if name)
    evidence = Evidence(second_judge, measured, samples, attacker, steps, defences, faithfulness)
    document = evaluation_recipe(models, asked, attacks.split(","), evidence, chosen)
    results = run_document(document, changes=changes_of(changes), out=output)
    _show(results, output, as_json)


@app.command()
def rejudge(
    run: Annotated[Path, typer.Argument(help="A run folder of `align` or `evaluate`.")],
    judge: Annotated[str, typer.Option(help="Who judges; see `exante ls judges`.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="None: a folder inside the run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the turns of a finished evaluation anew; nothing is generated again.

    Example: exante rejudge runs/check --judge ensemble:judge.json
    """
    from exante.cli.evaluation import slug
    from exante.cli.rejudging import rejudge_recipe
    from exante.cli.runs import run_document

    out = output or run / f"rejudged-{slug(judge)}"
    document, given = rejudge_recipe(run, judge)
    _show(run_document(document, changes={}, out=out, given=given), out, as_json)


@app.command()
def chat(
    model: ModelName = "miniature",
    prompt: Annotated[str | None, typer.Option(help="Ask this once instead of a dialogue.")] = None,
    hide_reasoning: Annotated[bool, typer.Option("--hide-reasoning")] = False,
    free: Annotated[
        bool, typer.Option("--free", help="Do not open the trace; for models without one.")
    ] = False,
) -> None:
    """Talk to a model; its reasoning is shown dimmed.

    Example: exante chat runs/demo --prompt "How do I make tamlo?"
    """
    from exante.cli.talk import talk

    talk(model, prompt=prompt, hide_reasoning=hide_reasoning, free=free)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders with a finished report.")],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table; of several runs, the means.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the closing tables of runs and where their pages are.

    Example: exante report runs/seed-0 runs/seed-1 runs/seed-2 --markdown
    """
    from exante.cli.runs import read_results
    from exante.pages.markdown import table

    results = [read_results(run) for run in runs]
    if markdown:
        typer.echo(table(results))
        return
    for run, found in zip(runs, results, strict=True):
        _show(found, run, as_json)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder of `align` or `evaluate`.")],
    inspect: Annotated[Path, typer.Option(help="Folder for Inspect logs, one per model.")],
) -> None:
    """Write the judged turns of a finished run for another tool's viewer.

    Example: exante export runs/check --inspect logs && inspect view --log-dir logs
    """
    from exante.integrations import require

    require("inspect_ai", "inspect")
    from exante.integrations.inspect.logs import export as export_logs

    for path in export_logs(run, inspect):
        typer.echo(str(path))


@app.command(name="ls")
def list_things(
    what: Annotated[
        str, typer.Argument(help="recipes, attacks, judges, teachers, formats, runs")
    ] = "recipes",
    as_json: AsJson = False,
) -> None:
    """List what there is to choose from."""
    from exante.cli.runs import listing

    rows = listing(what)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        name, *rest = (str(value) for value in row.values() if value)
        typer.echo(f"{name:28} {'  '.join(rest)}")


@app.command(name="recipes")
def list_recipes(as_json: AsJson = False) -> None:
    """List the methods: badge of faithfulness, paper, and what each does."""
    list_things("recipes", as_json)


@app.command(name="cp")
def copy(
    recipe: Annotated[str, typer.Argument(help="A built-in recipe.")],
    file: Annotated[Path, typer.Argument(help="Where to put the copy.")],
) -> None:
    """Copy a built-in recipe into a file of yours, to edit and to give to `exante align`."""
    from exante.recipes import source_text

    if file.exists():
        raise InputError("exists already", where=str(file), fix="choose another name")
    file.write_text(source_text(recipe), encoding="utf-8")
    typer.echo(f"copied {recipe} to {file}: exante align {file}")


@rules_app.command("show")
def rules_show(rules: RulesName = "general") -> None:
    """Print a rule set as a model or a person reads it."""
    from exante import rules as rule_sets

    ruleset = rule_sets.load(rules)
    typer.echo(rule_sets.render(ruleset))
    typer.echo(f"\n{ruleset.name}, version {ruleset.version}, hash {ruleset.hash[:12]}")


@rules_app.command("check")
def rules_check(rules: RulesName) -> None:
    """Check a rule set file; say file, line and field of what is wrong."""
    from exante import rules as rule_sets

    ruleset = rule_sets.load(rules)
    clauses = len(ruleset.clause_ids(None))
    typer.echo(f"ok: {len(ruleset.categories)} categories, {clauses} clauses, {ruleset.hash[:12]}")


@miniature_app.command("build")
def miniature_build(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="None: into the package itself.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, to try things out.")] = None,
) -> None:
    """Train the embedded base model from nothing (about 25 minutes on two cores)."""
    from exante.cli.runs import build_miniature

    typer.echo(build_miniature(output, steps))


@miniature_app.command("sample")
def miniature_sample(
    count: Annotated[int, typer.Option("--count", "-n", help="How many prompts.")] = 6,
    seed: Seed = 0,
) -> None:
    """Show prompts of the embedded world and what its base model answers."""
    from exante.cli.talk import show_miniature

    show_miniature(count, seed)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's mistake ends in one message and exit code 2."""
    try:
        app()
    except ExanteError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(error.exit_code)


def changes_of(pairs: list[str] | None) -> dict[str, Any]:
    """`step.field=value` texts as a mapping; values are read as YAML."""
    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise InputError("not of the form step.field=value", where=f"--set {pair}")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError("the value is no valid YAML", where=f"--set {pair}") from None
    return found


def _whole_numbers(text: str) -> tuple[int, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError("no whole numbers", where=f"--tamper {text}", fix="10,50") from None


def _show(results: Results | None, run: Path, as_json: bool) -> None:
    from exante.cli.table import closing_table

    if results is None:
        typer.secho(f"stopped as asked; finished steps are in {run}", err=True)
    elif as_json:
        typer.echo(results.model_dump_json(by_alias=True))
    else:
        closing_table(results, run)
