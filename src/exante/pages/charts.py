"""Charts as inline SVG, drawn without a library; colours and type come from the page's CSS.

Across, positions are per cents of the drawing's width, so that a chart fits a phone and a screen
with the same letter size; down, they are pixels. No number is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from exante.pages.numbers import NOT_MEASURED, Value
from exante.pages.wording import THIN, Unit, rounded

ROW = 18
"""Height of a drawing in one line of text, in pixels."""
_TOP, _PLOT, _LINE = 30, 104, 13
_NICE = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a curve: a value at each place, None where nothing was measured."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """One position on the horizontal axis; a hollow one was rolled back."""

    name: str
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A level drawn across a curve, with its name."""

    name: str
    value: float


def element(name: str, content: str = "", **attributes: object) -> Markup:
    """An SVG element with everything escaped; `class_` and `stroke_width` become XML names."""
    parts = (
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, Markup("").join(parts), content)


def bar(value: Value) -> Markup:
    """A rate from 0 to 1 as a bar with its interval; decoration beside the printed number."""
    parts = [element("rect", class_="track", x=0, y=4, width="100%", height=ROW - 8)]
    if value.value is not None:
        width = percent(value.value)
        parts.append(element("rect", class_="fill", x=0, y=4, width=width, height=ROW - 8))
    parts.append(_whisker(value, 0.0, 1.0))
    return decoration(parts, "bar")


def dot(value: Value, low: float, high: float, reference: float) -> Markup:
    """A number with its interval on an axis from `low` to `high`, beside a reference line."""
    place = percent(_scaled(reference, low, high))
    parts = [
        element("line", class_="rule", x1=0, x2="100%", y1=ROW / 2, y2=ROW / 2),
        element("line", class_="reference", x1=place, x2=place, y1=0, y2=ROW),
        _whisker(value, low, high),
    ]
    if value.value is not None:
        x = percent(_scaled(value.value, low, high))
        parts.append(element("circle", class_="dot", cx=x, cy=ROW / 2, r=4))
    return decoration(parts, "dots")


def stack(parts: Sequence[tuple[str, float]], whole: float) -> Markup:
    """Amounts side by side as shares of `whole`; each part carries its CSS class."""
    drawn, start = [], 0.0
    for name, amount in parts:
        share = amount / whole if whole > 0 else 0.0
        drawn.append(
            element(
                "rect",
                class_=name,
                x=percent(start),
                y=2,
                width=percent(share),
                height=ROW - 4,
            )
        )
        start += share
    return decoration(drawn, "stack")


def curve(
    places: Sequence[Place],
    series: Sequence[Series],
    unit: Unit,
    *,
    title: str,
    mark: Mark | None = None,
) -> Markup:
    """Lines over stages or rounds, each point labelled with its value and drawn with its interval.

    A hollow place is no station of the line: it leads from the last solid place and ends there.
    """
    top = _top(series, mark)
    parts = [_grid(top, unit)]
    if mark is not None:
        parts.append(_mark(mark, len(places), top, unit))
    for number, one in enumerate(series):
        parts.append(_line(places, one, number, top))
    for number, one in enumerate(series):
        others = [other for other in series if other is not one]
        parts.append(_points(places, one, number, top, unit, others))
    lines = max((len(_wrapped(place.name)) for place in places), default=1)
    parts.append(_names(places))
    return element(
        "svg",
        Markup("").join(parts),
        class_="curve",
        role="img",
        aria_label=_told(places, series, unit, title),
        width="100%",
        height=_TOP + _PLOT + 12 + _LINE * lines,
    )


def axis(values: Sequence[Value], reference: float) -> tuple[float, float, float]:
    """Low end, high end and reference of an axis for `dot`.

    It holds all values, their intervals and the reference, with some room.
    """
    found = [n for v in values for n in (v.low, v.value, v.high) if n is not None] + [reference]
    room = 0.08 * (max(found) - min(found)) or 0.1
    return min(found) - room, max(found) + room, reference


def decoration(parts: Sequence[str], name: str) -> Markup:
    """A drawing in one line of text, beside the number that says the same."""
    return element(
        "svg",
        Markup("").join(parts),
        class_=name,
        width="100%",
        height=ROW,
        aria_hidden="true",
        focusable="false",
    )


def percent(share: float) -> str:
    """A share as a length of CSS and SVG, kept between 0 and 100 %."""
    return f"{100 * min(1.0, max(0.0, share)):.2f}%"


def _scaled(number: float, low: float, high: float) -> float:
    return (number - low) / (high - low) if high > low else 0.5


def _whisker(value: Value, low: float, high: float) -> Markup:
    if value.low is None or value.high is None:
        return Markup("")
    left, right = (percent(_scaled(end, low, high)) for end in (value.low, value.high))
    middle = ROW / 2
    return element("line", class_="whisker", x1=left, x2=right, y1=middle, y2=middle)


def nice(highest: float) -> float:
    """Upper end of an axis of shares that holds `highest`."""
    return next((step for step in _NICE if highest <= step), 1.0)


def _top(series: Sequence[Series], mark: Mark | None) -> float:
    """Upper end of the vertical axis, which starts at 0."""
    ends = [n for s in series for v in s.values for n in (v.value, v.high) if n is not None]
    highest = max([*ends, mark.value if mark else 0.0])
    if highest > 1.0:
        return highest * 1.05
    return nice(highest)


def _x(index: int, count: int) -> str:
    return percent((index + 0.5) / count)


def _y(number: float, top: float) -> float:
    return round(_TOP + _PLOT * (1 - min(1.0, max(0.0, number / top))), 1)


def _grid(top: float, unit: Unit) -> Markup:
    floor = _y(0, top)
    parts = [element("line", class_="axis", x1=0, x2="100%", y1=floor, y2=floor)]
    if unit == "share":
        ceiling = _y(top, top)
        parts += [
            element("line", class_="grid", x1=0, x2="100%", y1=ceiling, y2=ceiling),
            element("text", f"{100 * top:.0f}{THIN}%", class_="tick", x=0, y=ceiling - 4),
        ]
    return Markup("").join(parts)


def _mark(mark: Mark, count: int, top: float, unit: Unit) -> Markup:
    y = _y(mark.value, top)
    line = element("line", class_="mark", x1=0, x2="100%", y1=y, y2=y)
    said = f"{mark.name} {rounded(mark.value, unit)}"
    # Below the line where there is room: the upper side belongs to the points' own labels.
    place = y + 13 if y < _TOP + _PLOT - 22 else y - 16
    # Between the last two points, whose labels stand right above them.
    middle = percent((count - 1) / count) if count > 1 else "50%"
    text = element("text", said, class_="marked", x=middle, y=place, text_anchor="middle")
    return line + text


def _line(places: Sequence[Place], series: Series, number: int, top: float) -> Markup:
    """Segments between neighbours; a polyline could not be placed in per cents."""
    parts: list[Markup] = []
    last: tuple[str, float] | None = None
    for index, (place, value) in enumerate(zip(places, series.values, strict=True)):
        if value.value is None:
            continue
        here = (_x(index, len(places)), _y(value.value, top))
        if last is not None:
            name = f"line s{number}" + (" aside" if place.hollow else "")
            parts.append(
                element("line", class_=name, x1=last[0], y1=last[1], x2=here[0], y2=here[1])
            )
        if not place.hollow:
            last = here
    return Markup("").join(parts)


def _points(
    places: Sequence[Place],
    series: Series,
    number: int,
    top: float,
    unit: Unit,
    others: Sequence[Series],
) -> Markup:
    parts: list[Markup] = []
    named = len(places) - 1
    for index, (place, value) in enumerate(zip(places, series.values, strict=True)):
        if value.value is None:
            continue
        x, y = _x(index, len(places)), _y(value.value, top)
        high, low = (_y(v if v is not None else value.value, top) for v in (value.high, value.low))
        highest = all(value.value >= (o.values[index].value or 0.0) for o in others)
        above = highest or max(low, y) + 17 + _LINE > _TOP + _PLOT
        parts.append(element("line", class_=f"spread s{number}", x1=x, x2=x, y1=high, y2=low))
        name = f"point s{number}" + (" hollow" if place.hollow else "")
        parts.append(element("circle", class_=name, cx=x, cy=y, r=4))
        words = [rounded(value.value, unit)]
        if others and index == named:
            words = [series.name, *words] if above else [*words, series.name]
        parts.append(_label(words, x, min(high, y) if above else max(low, y), number, above))
    return Markup("").join(parts)


def _label(words: Sequence[str], x: str, y: float, number: int, above: bool) -> Markup:
    first = y - 8 - _LINE * (len(words) - 1) if above else y + 17
    return Markup("").join(
        element("text", word, class_=f"value s{number}", x=x, y=first + _LINE * line)
        for line, word in enumerate(words)
    )


def _names(places: Sequence[Place]) -> Markup:
    start = _TOP + _PLOT + 17
    return Markup("").join(
        element(
            "text",
            word,
            class_="place" + (" hollow" if place.hollow else ""),
            x=_x(index, len(places)),
            y=start + _LINE * line,
        )
        for index, place in enumerate(places)
        for line, word in enumerate(_wrapped(place.name))
    )


def _wrapped(name: str, width: int = 9, lines: int = 3) -> list[str]:
    """Words on lines of about `width` letters; what does not fit is cut with an ellipsis."""
    found: list[str] = []
    for word in name.split():
        if found and len(found[-1]) + 1 + len(word) <= width:
            found[-1] += " " + word
        else:
            found.append(word)
    if len(found) > lines:
        found = [*found[: lines - 1], found[lines - 1] + "\u2026"]
    return [line if len(line) <= width + 4 else line[: width + 3] + "\u2026" for line in found]


def _told(places: Sequence[Place], series: Sequence[Series], unit: Unit, title: str) -> str:
    """The whole chart in words, for those who do not see it."""
    said = []
    for one in series:
        steps = [
            f"{place.name}{' (rolled back)' if place.hollow else ''} {rounded(value.value, unit)}"
            for place, value in zip(places, one.values, strict=True)
            if value != NOT_MEASURED
        ]
        name = f"{one.name}: " if len(series) > 1 else ""
        said.append(name + ", ".join(steps))
    return f"{title}. " + "; ".join(said)
