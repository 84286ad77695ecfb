"""Which charts the page shows of which numbers; drawing itself is done in `charts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exante.pages import charts, plots
from exante.pages.charts import Mark, Place, Series
from exante.pages.numbers import ModelResult, Spread, Value
from exante.pages.plots import Panel, Spot, Tone
from exante.pages.results import Point, Results, Round
from exante.pages.wording import THIN, Unit, label, number


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels that share their horizontal axis."""

    title: str
    caption: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class AttackGroup:
    """Attack families that are read together, the most successful against the last model first."""

    title: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LengthColumn:
    """One quantity of turns with its spread, by model; `most` is the end of its axis."""

    title: str
    spreads: dict[str, Spread]
    most: float
    said: Callable[[float], str]
    """How one number is written."""


@dataclass(frozen=True, slots=True)
class _Curve:
    """What a panel is drawn from: a field of models, a field of points, how it is read."""

    title: str
    hint: str
    unit: Unit
    of_model: tuple[str, ...]
    of_point: tuple[str, ...]


_CURVES = (
    _Curve("Attack success", "lower is better", "share", ("asr_macro",), ("attack_success",)),
    _Curve(
        "Over-refusal",
        "lower is better",
        "share",
        ("over_refusal_lookalike",),
        ("over_refusal",),
    ),
    _Curve("Helpfulness", "higher is better", "share", ("helpfulness",), ("helpfulness",)),
    _Curve(
        "Tokens per benign prompt",
        "fewer is faster",
        "tokens",
        ("answer_tokens", "trace_tokens"),
        ("answer_tokens", "trace_tokens"),
    ),
)
_ATTACKS = "Attack success"
_SERIES = {"answer_tokens": "answer", "trace_tokens": "trace"}
_LENGTHS = {
    "trace_benign": "Trace, benign",
    "answer_benign": "Answer, benign",
    "trace_harmful": "Trace, harmful",
    "answer_harmful": "Answer, harmful",
}


def figures(results: Results) -> list[Figure]:
    """The curves over stages, and over rounds where there were any."""
    found = [_stages(results), _course(results.course) or _rounds(results.rounds)]
    return [figure for figure in found if figure is not None and figure.panels]


def attack_groups(results: Results) -> list[AttackGroup]:
    """Families behind the mean, then all others that any model was tried with."""
    if not results.models:
        return []
    *_, last = results.models.values()
    names = list(dict.fromkeys(n for m in results.models.values() for n in m.asr_by_attack))

    def success(name: str) -> float:
        value = last.asr_by_attack.get(name)
        return -(value.value or 0.0) if value else 0.0

    inside = sorted((n for n in names if n in results.macro_families), key=success)
    outside = sorted((n for n in names if n not in results.macro_families), key=success)
    groups = (
        AttackGroup("Held-out families, in the mean", tuple(inside)),
        AttackGroup("Shown beside, not in the mean", tuple(outside)),
    )
    return [group for group in groups if group.names]


def tradeoff(results: Results) -> list[Panel]:
    """Safety beside over-refusal, all models; those in the corner once more, enlarged."""
    *_, last = results.models or [""]

    def tone(name: str) -> Tone:
        return "last" if name == last else "baseline" if name in results.baselines else "other"

    spots = [
        Spot(label(name), model.over_refusal_lookalike, model.asr_macro, tone(name))
        for name, model in results.models.items()
        if model.over_refusal_lookalike.value is not None and model.asr_macro.value is not None
    ]
    return plots.enlarged(spots, across="Over-refusal of look-alikes", up=_ATTACKS)


def defences(results: Results) -> list[Panel]:
    """Both rates under each defence, a panel for every model."""
    found = []
    for name in dict.fromkeys(one.model for one in results.defences):
        spots = [
            Spot(
                label(one.defence),
                one.abstained,
                one.unsafe,
                "baseline" if one.defence == "none" else "other",
            )
            for one in results.defences
            if one.model == name and one.abstained.value is not None
        ]
        if any(spot.up.value is not None for spot in spots):
            chart = plots.scatter(spots, across="Abstained, harmless prompts", up="Unsafe answers")
            found.append(Panel(label(name), "lower left is better", chart))
    return found


def length_columns(results: Results) -> list[LengthColumn]:
    """How tokens and seconds spread over turns, by model; only what was measured."""

    def tokens(value: float) -> str:
        return number(value, "tokens")

    def precise(value: float) -> str:
        return f"{value:.3g}{THIN}s"

    columns = [
        (title, {n: m.lengths[key] for n, m in results.models.items() if key in m.lengths}, tokens)
        for key, title in _LENGTHS.items()
    ]
    timed = {n: m.seconds_per_turn for n, m in results.models.items() if m.seconds_per_turn}
    return [
        LengthColumn(title, spreads, max(s.p95 for s in spreads.values()), said)
        for title, spreads, said in [*columns, ("Time per turn", timed, precise)]
        if spreads
    ]


def _stages(results: Results) -> Figure | None:
    path = {name: m for name, m in results.models.items() if name not in results.baselines}
    if len(path) < 2:
        return None
    places = [Place(label(name)) for name in path]
    baseline = next((name for name in results.baselines if name in results.models), None)
    panels = []
    for one in _CURVES:
        series = [
            Series(_SERIES.get(field, ""), tuple(_number(model, field) for model in path.values()))
            for field in one.of_model
        ]
        mark = None
        if baseline is not None and len(series) == 1:
            level = _number(results.models[baseline], one.of_model[0]).value
            mark = Mark(label(baseline), level) if level is not None else None
        panels.append(_panel(one, places, series, mark))
    caption = "Evaluation prompts, which no training saw. Whiskers are 95 % intervals."
    if baseline is not None:
        caption += f" The dashed line is the baseline, {label(baseline)}."
    return Figure("Stage by stage", caption, _shown(panels))


def _course(course: Sequence[Point]) -> Figure | None:
    if len(course) < 2:
        return None
    places = [Place(label(point.name), point.accepted is False) for point in course]
    panels = []
    for one in _CURVES:
        series = [
            Series(_SERIES.get(field, ""), tuple(_number(point, field) for point in course))
            for field in one.of_point
        ]
        panels.append(_panel(one, places, series, None))
    splits = " and ".join(dict.fromkeys(point.split for point in course))
    caption = f"{splits.capitalize()} prompts, on which the gate decides."
    if any(place.hollow for place in places):
        caption += " A hollow point was rolled back: training went on from the point before it."
    return Figure("Round by round", caption, _shown(panels))


def _rounds(rounds: Sequence[Round]) -> Figure | None:
    """Trace lengths alone, where the way was not measured more closely."""
    if not rounds:
        return None
    places = [Place("Start")] + [Place(label(r.name), not r.accepted) for r in rounds]
    lengths = [rounds[0].trace_tokens_before] + [r.trace_tokens_after for r in rounds]
    values = tuple(Value(value=length, low=None, high=None, n=0) for length in lengths)
    one = _Curve("Trace tokens", "fewer is faster", "tokens", (), ())
    panel = _panel(one, places, [Series("trace", values)], None)
    caption = "Mean trace on validation prompts, before and after each gate."
    if any(place.hollow for place in places):
        caption += " A hollow point was rolled back."
    return Figure("Round by round", caption, _shown([panel]))


def _number(source: ModelResult | Point, field: str) -> Value:
    value: Value = getattr(source, field)
    return value


def _panel(
    one: _Curve, places: Sequence[Place], series: Sequence[Series], mark: Mark | None
) -> Panel | None:
    """The chart, or None where nothing of it was measured."""
    kept = [s for s in series if any(value.value is not None for value in s.values)]
    if not kept:
        return None
    chart = charts.curve(places, kept, one.unit, title=one.title, mark=mark)
    return Panel(one.title, one.hint, chart)


def _shown(panels: Sequence[Panel | None]) -> tuple[Panel, ...]:
    return tuple(panel for panel in panels if panel is not None)
