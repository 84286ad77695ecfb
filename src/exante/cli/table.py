"""The closing tables of a run and of a comparison, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from exante.cli.terminal import Screen, words
from exante.pages import comparing, wording
from exante.pages.compared import Compared, Method
from exante.pages.comparing import Column
from exante.pages.numbers import Value
from exante.pages.results import Results
from exante.pages.wording import Unit

_COUNTS = {
    "All": "turns",
    "Cut off": "truncated",
    "Not judged": "undetermined",
    "Unparsed traces": "unparsed",
}
"""Turns by what became of them, and the field that counts them."""
_WIDEST = {False: 10, True: 11}
"""Characters of a column, without and with a column of trainings: `12 min 53 s` has as many."""


def closing_table(results: Results, run: Path) -> None:
    """Print one column per model, with the interval under each number, and where the page is."""
    console = Screen()
    console.print("95 % intervals below the numbers\n")
    console.print(_table(results))
    console.print()
    for note in results.notes:
        console.print(f"note: {note}", style="yellow")
    for what, path in (("page", run / "report.html"), ("numbers", run / "results.json")):
        console.print(f"{what + ':':9}{path}", highlight=False, soft_wrap=True)


def _table(results: Results) -> Table:
    # No borders: five models fit into the 80 columns of a plain terminal or a log.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column()
    for name in results.models:
        table.add_column(wording.label(name), justify="right")
    for group, metrics in wording.rows(results.models.values()).items():
        table.add_row(words(group, style="bold"))
        for metric in metrics:
            values = (metric.of(model) for model in results.models.values())
            table.add_row(metric.title, *(_cell(value, metric.unit) for value in values))
    table.add_row(words("Turns", style="bold"))
    for title, field in _COUNTS.items():
        counts = (getattr(model, field) for model in results.models.values())
        table.add_row(title, *(wording.NONE if n is None else str(n) for n in counts))
    return table


def _cell(value: Value, unit: Unit) -> Text:
    cell = words(wording.number(value.value, unit))
    if value.value is not None:
        cell.append(f"\n{wording.interval(value, unit)}", style="dim")
    return cell


def compared_table(compared: Compared, out: Path) -> None:
    """Print two rows per method, with the interval under each number, and the front in words."""
    console = Screen()
    seeds = f"{len(compared.seeds)} seed{'s' if len(compared.seeds) > 1 else ''}"
    console.print(f"{comparing.headline(compared)}\n", style="bold")
    # Rates, then what they cost: all columns side by side do not fit into a plain terminal.
    rates = [column for column in comparing.COLUMNS if column.unit == "share"]
    lengths = [column for column in comparing.COLUMNS if column.unit != "share"]
    console.print(_methods(compared, rates))
    console.print()
    console.print(_methods(compared, lengths, training=True))
    console.print(
        f"\n{seeds}; 95 % intervals over prompts and seeds below the numbers", style="dim"
    )
    for line in comparing.notes(compared):
        console.print(f"note: {line}", style="yellow")
    for line in comparing.front(compared):
        console.print(f"front: {line}")
    for what, path in (("page", out / "compare.html"), ("numbers", out / "compare.json")):
        console.print(f"{what + ':':9}{path}", highlight=False, soft_wrap=True)


def _methods(compared: Compared, columns: Sequence[Column], *, training: bool = False) -> Table:
    """One row per method with these measures, and with what its training took."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("", *(column.title for column in columns), *(["Training"] if training else [])):
        # Titles break between words, so that intervals have room and nothing is cut off.
        widest = max([_WIDEST[training], *map(len, title.split())]) if title else None
        table.add_column(title, justify="right" if title else "left", max_width=widest)
    for row in (compared.base, *compared.methods):
        name = words(wording.label(row.name))
        name.append(f"\n{comparing.status(row, compared)}", style="dim")
        cells = [_cell(column.of(row), column.unit) for column in columns]
        table.add_row(name, *cells, *([_training(row)] if training else []))
    return table


def _training(row: Method) -> Text:
    """Tokens and time, with memory under them."""
    if row.training is None:
        return words(wording.NONE)
    cell = words(wording.size(row.training.tokens, "tok"))
    cell.append(f"\n{wording.seconds(row.training.seconds)}", style="dim")
    cell.append(f"\n{wording.size(row.training.peak_bytes, 'B')}", style="dim")
    return cell
