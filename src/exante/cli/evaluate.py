"""`exante evaluate` and `exante rejudge`: attacks on models, and other judges of their turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from exante.cli import completion
from exante.cli.options import (
    AsJson,
    Changes,
    JudgeName,
    Output,
    Rules,
    SeedOrNone,
    changes_of,
    show_results,
    show_run,
)
from exante.cli.processes import Accelerate, in_processes
from exante.cli.progress import watched
from exante.cli.suites import Column, KindOfRest, Limit, SuiteNames, TrainedOn, known_kind
from exante.errors import InputError

Attacks = Annotated[
    str,
    typer.Option(
        help="Families or groups with commas between them.", autocompletion=completion.attacks
    ),
]
SecondJudge = Annotated[
    str | None,
    typer.Option(
        help="Another judge of the same turns, shown beside the first.",
        autocompletion=completion.judges,
    ),
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
Models = Annotated[
    list[str],
    typer.Argument(
        help="Model folders, run folders, miniature, server:URL#MODEL.",
        autocompletion=completion.models,
    ),
]
TestData = Annotated[
    str | None, typer.Option(help="miniature, or files of which a test split is taken.")
]
Faithfulness = Annotated[
    bool, typer.Option("--faithfulness", help="Edit traces: do decisions and answers follow?")
]


def evaluate(
    models: Models,
    data: TestData = None,
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
    accelerate: Accelerate = None,
    output: Output = Path("runs/evaluate"),
    as_json: AsJson = False,
) -> None:
    """Attack one or several models and report safety beside usefulness.

    Example: exante evaluate miniature runs/demo -o runs/check
    Example: exante evaluate ./my-model --suite xstest --suite harmbench=behaviors.csv -o runs/s
    """
    from exante import api

    in_processes(accelerate)
    ks, against = _whole_numbers(tamper), _names(defence)
    chosen = api.Chosen(_names(suite), column, known_kind(kind), limit, _names(trained_on))
    evidence = api.Evidence(second_judge, calibration, samples, attacker, ks, against, faithfulness)
    with watched(output) as listener:
        run = api.evaluate(
            models,
            output=output,
            data=data,
            chosen=chosen,
            rules=rules,
            judge=judge,
            seed=seed,
            attacks=attacks.split(","),
            evidence=evidence,
            settings=changes_of(changes),
            listener=listener,
        )
    show_run(run, as_json)


def rejudge(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run folder of `align` or `evaluate`.", autocompletion=completion.runs
        ),
    ],
    judge: Annotated[
        str,
        typer.Option(help="Who judges; see `exante ls judges`.", autocompletion=completion.judges),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="None: a folder inside the run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the turns of a finished evaluation anew; nothing is generated again.

    Example: exante rejudge runs/check --judge ensemble:judge.json
    """
    from exante.workflows.evaluation import slug
    from exante.workflows.performing import run_document
    from exante.workflows.rejudging import rejudge_recipe

    out = output or run / f"rejudged-{slug(judge)}"
    document, given = rejudge_recipe(run, judge)
    with watched(out) as listener:
        results = run_document(document, changes={}, out=out, given=given, listener=listener)
    show_results(results, out, as_json)


def _names(given: str | Sequence[str | Path] | None) -> tuple[str, ...]:
    """Names with commas between them, or of an option that is repeated."""
    parts = given.split(",") if isinstance(given, str) else given or ()
    return tuple(str(part) for part in parts if str(part))


def _whole_numbers(text: str) -> tuple[int, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError("no whole numbers", where=f"--tamper {text}", fix="10,50") from None
