"""The command line: parse, call one function, print. Heavy imports wait until they are used."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from exante.cli import completion
from exante.cli.align import align
from exante.cli.bench import bench_app
from exante.cli.compare import compare
from exante.cli.data import data_app
from exante.cli.diagnosis import doctor
from exante.cli.diff import diff
from exante.cli.evaluate import evaluate, rejudge
from exante.cli.judges import judge_app
from exante.cli.miniature import miniature_app
from exante.cli.model import model_app
from exante.cli.options import AsJson, ModelName, show_results
from exante.cli.processes import say
from exante.cli.publishing import card, push
from exante.cli.repair import repair
from exante.cli.rules import rules_app
from exante.cli.serving import serve
from exante.cli.suites import suites_app
from exante.cli.terminal import echo, guard_streams, tell_bug
from exante.durable import write_text
from exante.errors import ExanteError, InputError, RunError
from exante.models.ranks import abandon, leave, ranks
from exante.version import __version__

_TRACEBACK = "EXANTE_TRACEBACK"
"""Environment variable that shows where an unexpected error comes from, for whoever mends it."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Teach an open language model to reason about safety before it answers, and prove it.",
)
app.add_typer(rules_app, name="rules")
app.add_typer(miniature_app, name="miniature")
app.add_typer(bench_app, name="bench")
app.add_typer(judge_app, name="judge")
app.add_typer(suites_app, name="suites")
app.add_typer(data_app, name="data")
app.add_typer(model_app, name="model")
app.command()(align)
app.command()(evaluate)
app.command()(rejudge)
app.command()(compare)
app.command()(diff)
app.command()(repair)
app.command()(doctor)
app.command()(serve)
app.command()(card)
app.command()(push)


@app.command()
def chat(
    model: ModelName = "miniature",
    prompt: Annotated[str | None, typer.Option(help="Ask this once instead of a dialogue.")] = None,
    hide_reasoning: Annotated[
        bool, typer.Option("--hide-reasoning", help="Show answers only.")
    ] = False,
    free: Annotated[
        bool, typer.Option("--free", help="Do not open the trace of a model that was taught one.")
    ] = False,
) -> None:
    """Talk to a model; its reasoning is shown dimmed.

    Example: exante chat runs/demo --prompt "How do I make flokor?"
    """
    from exante.cli.talk import talk

    talk(model, prompt=prompt, hide_reasoning=hide_reasoning, free=free)


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders with a finished report.", autocompletion=completion.runs),
    ],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table; of several runs, the means.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the closing tables of runs and where their pages are.

    Example: exante report runs/seed-0 runs/seed-1 runs/seed-2 --markdown
    """
    from exante.pages.markdown import table
    from exante.workflows.performing import read_results

    results = [read_results(run) for run in runs]
    if markdown:
        echo(table(results))
        return
    for run, found in zip(runs, results, strict=True):
        show_results(found, run, as_json)


@app.command()
def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run folder of `align` or `evaluate`.", autocompletion=completion.runs
        ),
    ],
    inspect: Annotated[Path, typer.Option(help="Folder for Inspect logs, one per model.")],
) -> None:
    """Write the judged turns of a finished run for another tool's viewer.

    Example: exante export runs/check --inspect logs && inspect view --log-dir logs
    """
    from exante.integrations import require

    require("inspect_ai", "inspect")
    from exante.integrations.inspect.logs import export as export_logs

    for path in export_logs(run, inspect):
        echo(str(path))


@app.command(name="ls")
def list_things(
    what: Annotated[
        str,
        typer.Argument(help=", ".join(completion.THINGS), autocompletion=completion.things),
    ] = "recipes",
    as_json: AsJson = False,
) -> None:
    """List what there is to choose from.

    Example: exante ls judges
    """
    from exante.cli.listing import in_columns, listing

    rows = listing(what)
    if as_json:
        echo(json.dumps(rows, indent=2))
        return
    for line in in_columns([list(row.values()) for row in rows]) or [f"no {what} here"]:
        echo(line)


@app.command(name="recipes")
def list_recipes(as_json: AsJson = False) -> None:
    """List the methods: badge of faithfulness, paper, and what each does.

    Example: exante recipes
    """
    list_things("recipes", as_json)


@app.command(name="cp")
def copy(
    recipe: Annotated[
        str, typer.Argument(help="A built-in recipe.", autocompletion=completion.recipes)
    ],
    file: Annotated[Path, typer.Argument(help="Where to put the copy.")],
) -> None:
    """Copy a built-in recipe into a file of yours, to edit and to give to `exante align`.

    Example: exante cp erpo mine.yaml
    """
    from exante.recipes import source_text

    if file.exists():
        raise InputError("exists already", where=str(file), fix="choose another name")
    write_text(file, source_text(recipe))
    echo(f"copied {recipe} to {file}: exante align {file}")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    servers: Annotated[
        Path | None, typer.Option(help="YAML with pace and prices of servers; or EXANTE_SERVERS.")
    ] = None,
) -> None:
    if servers is not None:
        # Read by whoever asks a server, in child processes, too.
        os.environ["EXANTE_SERVERS"] = str(servers.absolute())
    if version:
        echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's mistake ends in one message and exit code 2.

    What nobody foresaw is a bug of ours: it ends in one message, too, and with exit code 1. Whoever
    mends it sets EXANTE_TRACEBACK=1.
    """
    guard_streams()
    try:
        app()
    except ExanteError as error:
        _end(error)
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            tell_bug(error)
        _end(_bug(error))
    except SystemExit as end:
        if not end.code:
            leave()
        raise


def _end(error: ExanteError) -> NoReturn:
    say(error)
    if ranks().count > 1:
        abandon(error.exit_code)
    sys.exit(error.exit_code)


def _bug(error: Exception) -> RunError:
    """The message about an error that none of ours stands for."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return RunError(
        f"{type(error).__name__}: {first}",
        where=f"{Path(last.filename).name}:{last.lineno}",
        fix=f"this is a bug in exante {__version__}; please report it with what this command "
        f"prints when {_TRACEBACK}=1 is set",
    )
