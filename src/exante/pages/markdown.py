"""Results as a Markdown table, for a README or a paper: one run, or several seeds side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import mean, stdev

from exante.pages import wording
from exante.pages.numbers import Value
from exante.pages.results import Results
from exante.pages.wording import NONE, Metric

_MARKUP = re.compile(r"([\\`*_\[\]<>|#])")


def table(runs: Sequence[Results]) -> str:
    """One row per measure, one column per model of the first run.

    Of one run: the number and its 95 % interval. Of several: their mean, and the standard deviation
    over runs after a ±.
    """
    names = list(runs[0].models)
    lines = [
        "| measure | " + " | ".join(plain(wording.label(name)) for name in names) + " |",
        "|---" + "|---:" * len(names) + "|",
    ]
    models = [model for run in runs for model in run.models.values()]
    for metrics in wording.rows(models).values():
        for metric in metrics:
            cells = [_cell(metric, _values(runs, name, metric)) for name in names]
            lines.append(f"| {metric.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plain(text: object) -> str:
    """One line of text that is no markup, neither of Markdown nor of HTML."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def _values(runs: Sequence[Results], name: str, metric: Metric) -> list[Value]:
    return [metric.of(run.models[name]) for run in runs if name in run.models]


def _cell(metric: Metric, values: Sequence[Value]) -> str:
    numbers = [value.value for value in values if value.value is not None]
    if not numbers:
        return NONE
    if len(values) == 1:
        interval = wording.interval(values[0], metric.unit)
        said = wording.number(numbers[0], metric.unit)
        return f"{said} ({interval})" if interval else said
    spread = stdev(numbers) if len(numbers) > 1 else 0.0
    unit = "share" if metric.unit == "change" else metric.unit
    return f"{wording.number(mean(numbers), metric.unit)} ± {wording.number(spread, unit)}"
