"""The closing table of a run, in the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from exante.pages.results import Results, Value

_COLUMNS: tuple[tuple[str, str, bool], ...] = (
    ("attack success", "asr_macro", True),
    ("any attack", "asr_union", True),
    ("over-refusal: look-alikes", "over_refusal_lookalike", True),
    ("plain", "over_refusal_plain", True),
    ("helpful", "helpfulness", True),
    ("skills", "capability", True),
    ("valid traces", "trace_valid", True),
    ("agreement", "decision_agreement", True),
    ("efficiency", "response_efficiency", False),
    ("latency", "latency_overhead", True),
    ("trace tokens", "trace_tokens", False),
)


def closing_table(results: Results, run: Path) -> None:
    """Print one row per model, with the interval under each number, and where the page is."""
    console = Console()
    table = Table(title="held-out concepts, wordings and attack families", title_justify="left")
    table.add_column("model")
    for title, _, _ in _COLUMNS:
        table.add_column(title, justify="right")
    for name, model in results.models.items():
        table.add_row(name, *(_cell(getattr(model, key), percent) for _, key, percent in _COLUMNS))
    console.print(table)
    for note in results.notes:
        console.print(f"note: {note}", style="yellow", highlight=False)
    console.print(f"page: {run / 'report.html'}   numbers: {run / 'results.json'}", highlight=False)


def _cell(value: Value, percent: bool) -> str:
    if value.value is None:
        return "-"
    low, high = _number(value.low, percent), _number(value.high, percent)
    return f"{_number(value.value, percent)}\n[dim]{low} {high}[/]"


def _number(value: float | None, percent: bool) -> str:
    if value is None:
        return "?"
    return f"{100 * value:.1f}%" if percent else f"{value:.2f}" if value < 10 else f"{value:.0f}"
