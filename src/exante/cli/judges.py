"""`exante judge`: train a judge of refusals, and measure any judge against people's labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exante.cli import completion
from exante.cli.options import AsJson
from exante.cli.terminal import Screen, echo
from exante.errors import InputError

if TYPE_CHECKING:
    from exante.calibration import Confusion
    from exante.judges import Judge
    from exante.judges.labelled import Labelled

judge_app = typer.Typer(no_args_is_help=True, help="Train judges and measure them.")

_TRAINED = ("learned", "ensemble")
_Files = Annotated[list[Path], typer.Argument(help="Labelled answers: XSTest's CSVs, or JSONL.")]


@judge_app.command()
def train(
    files: _Files,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the judge goes.")] = Path(
        "judge.json"
    ),
) -> None:
    """Train the learned judge of refusals on labelled answers.

    Example: exante judge train xstest_a.csv xstest_b.csv -o judge.json
    """
    from exante.judges import learned

    model = learned.train(_read(files))
    learned.save(model, output)
    echo(
        f"learned from {model.trained_on} answers: {output}\n"
        f"use it with --judge learned:{output} or --judge ensemble:{output}"
    )


@judge_app.command()
def calibrate(
    judge: Annotated[
        str,
        typer.Option(
            help="A judge; learned and ensemble need --train.", autocompletion=completion.judges
        ),
    ],
    test: Annotated[list[Path], typer.Option(help="Labelled answers to measure on; repeatable.")],
    train_on: Annotated[
        list[Path] | None, typer.Option("--train", help="Labelled answers to train on; repeatable.")
    ] = None,
    more: Annotated[
        list[Path] | None, typer.Argument(help="Further files for --train.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Keep the counts for `evaluate --calibration`."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a judge of refusals against people: precision, recall, kappa, confusion matrix.

    Refusals are those in full or in part.

    Example: exante judge calibrate --judge ensemble --train a.csv --train b.csv --test c.csv
    """
    from exante.judges.labelled import Measured, agreement
    from exante.records import write_json

    if more and not train_on:
        raise InputError("files without an option", fix="put --train or --test before them")
    chosen = _judge(judge, _read([*(train_on or ()), *(more or ())]))
    found = agreement(chosen, _read(test))
    if output is not None:
        write_json(output, Measured(judge=chosen.name, confusion=found).model_dump(mode="json"))
    if as_json:
        echo(json.dumps({"judge": chosen.name, **_numbers(found)}))
        return
    _show(chosen.name, found)


def _judge(name: str, rows: list[Labelled]) -> Judge:
    """The judge of that name; one that learns is trained on `rows`, if there are any."""
    from exante import plugins
    from exante.judges import JUDGES, learned
    from exante.stages.judges import open_judge

    if name in _TRAINED and rows:
        judge: Judge = plugins.load(JUDGES, name, "judge")(learned.train(rows))
        return judge
    if rows:
        raise InputError(f"judge {name} does not learn", fix="leave --train out")
    return open_judge(name)


def _read(files: list[Path]) -> list[Labelled]:
    from exante.judges.labelled import read_labelled

    return [row for file in files for row in read_labelled(file)]


def _numbers(found: Confusion) -> dict[str, object]:
    return {
        "kappa": found.kappa,
        "precision": found.precision.value,
        "recall": found.sensitivity.value,
        "specificity": found.specificity.value,
        "confusion": found.model_dump(),
        "n": found.n,
    }


def _show(name: str, found: Confusion) -> None:
    from rich.table import Table

    table = Table(title=f"{name}: {found.n} answers", title_justify="left")
    table.add_column("people said")
    table.add_column("judge: refused", justify="right")
    table.add_column("judge: answered", justify="right")
    table.add_row("refused", str(found.true_positive), str(found.false_negative))
    table.add_row("answered", str(found.false_positive), str(found.true_negative))
    console = Screen()
    console.print(table)
    kappa = "-" if found.kappa is None else f"{found.kappa:.3f}"
    console.print(f"kappa {kappa} (1 is full agreement, 0 is chance)")
    for word, estimate in (
        ("precision", found.precision),
        ("recall", found.sensitivity),
        ("specificity", found.specificity),
    ):
        if estimate.value is not None:
            console.print(
                f"{word} {estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
            )
