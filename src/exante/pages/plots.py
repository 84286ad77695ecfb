"""Plots of two quantities at once: safety beside over-refusal, and how lengths spread.

As in `charts`: positions across are per cents, positions down are pixels, no number is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from exante.pages.charts import ROW, decoration, element, nice, percent
from exante.pages.numbers import Spread, Value
from exante.pages.wording import THIN, rounded

_TOP, _HEIGHT, _SHARE = 38, 240, 0.70
_APART = 17
_NAME = 18

Tone = Literal["last", "baseline", "other"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One small chart with its heading."""

    title: str
    hint: str
    chart: Markup


@dataclass(frozen=True, slots=True)
class Spot:
    """A model in a plot of two rates, both with their intervals."""

    name: str
    across: Value
    up: Value
    tone: Tone = "other"
    radius: float = 5.0
    """Of the point, in pixels; a third quantity, where there is one."""


@dataclass(frozen=True, slots=True)
class _Plane:
    """Axes that begin at 0, and where on the drawing a number lies."""

    right: float
    top: float
    height: int

    @property
    def floor(self) -> int:
        """Where the horizontal axis lies."""
        return _TOP + self.height

    def x(self, number: float) -> float:
        """A share of the drawing's width."""
        return _SHARE * number / self.right

    def y(self, number: float) -> float:
        """In pixels."""
        return round(_TOP + self.height * (1 - number / self.top), 1)


def scatter(spots: Sequence[Spot], *, across: str, up: str) -> Markup:
    """Two rates against each other, whiskers in both directions, names in a column at the right.

    Names stand apart from the points, joined by a thin line: good models lie close together.
    Spots without one of the two numbers are left out.
    """
    seen = [s for s in spots if s.across.value is not None and s.up.value is not None]
    # As high as the names need.
    plane = _Plane(*_ends(seen), max(_HEIGHT, _APART * len(seen)))
    parts = [_frame(plane, across, up)]
    places = [(plane.x(_number(s.across)), plane.y(_number(s.up))) for s in seen]
    heights = _apart([y for _, y in places], plane.floor)
    for (x, y), name_y, spot in zip(places, heights, seen, strict=True):
        parts.append(_name(spot, x, y, name_y))
    for (x, y), spot in zip(places, seen, strict=True):
        parts.append(_cross(spot, x, y, plane))
    return element(
        "svg",
        Markup("").join(parts),
        class_="scatter",
        role="img",
        aria_label=_told(seen, across, up),
        width="100%",
        height=plane.floor + 42,
    )


def enlarged(spots: Sequence[Spot], *, across: str, up: str) -> list[Panel]:
    """The scatter of all spots; then, enlarged, of those in the lower left corner."""
    if not spots:
        return []
    near = cornered(spots)
    chosen = [("All models", "", spots)]
    if 1 < len(near) < len(spots):
        chosen.append(("The lower left corner", "enlarged", near))
    return [Panel(title, hint, scatter(some, across=across, up=up)) for title, hint, some in chosen]


def cornered(spots: Sequence[Spot]) -> list[Spot]:
    """Spots that lie low and left with their intervals: a quarter of the height, half the width."""
    right, top = _ends(spots)
    return [s for s in spots if _end(s.up) <= top / 4 and _end(s.across) <= right / 2]


def span(spread: Spread, most: float) -> Markup:
    """A line from the median to the 95th percentile, the mean as a tick; the axis begins at 0."""
    middle = ROW / 2
    median, mean, end = (
        percent(n / most if most > 0 else 0.0) for n in (spread.median, spread.mean, spread.p95)
    )
    return decoration(
        [
            element("line", class_="rule", x1=0, x2="100%", y1=middle, y2=middle),
            element("line", class_="reach", x1=median, x2=end, y1=middle, y2=middle),
            element("line", class_="reach", x1=end, x2=end, y1=middle - 4, y2=middle + 4),
            element("line", class_="mean", x1=mean, x2=mean, y1=2, y2=ROW - 2),
            element("circle", class_="dot", cx=median, cy=middle, r=4),
        ],
        "spans",
    )


def _ends(spots: Sequence[Spot]) -> tuple[float, float]:
    """Right and upper end of the axes, which begin at 0."""
    right = max((_end(s.across) for s in spots), default=1.0)
    return nice(right), nice(max((_end(s.up) for s in spots), default=1.0))


def _number(value: Value) -> float:
    return value.value or 0.0


def _end(value: Value) -> float:
    return max(_number(value), value.high or 0.0)


def _frame(plane: _Plane, across: str, up: str) -> Markup:
    floor, end = plane.floor, percent(_SHARE)
    parts = [element("text", f"↑ {up}", class_="axis-name", x=0, y=14)]
    for share in (0.0, 0.5, 1.0):
        y, x = plane.y(share * plane.top), percent(_SHARE * share)
        kind = "axis" if share == 0 else "grid"
        parts.append(element("line", class_=kind, x1=0, x2=end, y1=y, y2=y))
        parts.append(element("line", class_=kind, x1=x, x2=x, y1=_TOP, y2=floor))
        anchor = "start" if share == 0 else "middle"
        said = _tick(share * plane.right)
        parts.append(element("text", said, class_="tick", x=x, y=floor + 15, text_anchor=anchor))
        if share:
            parts.append(element("text", _tick(share * plane.top), class_="tick", x=4, y=y - 4))
    parts.append(element("text", f"{across} →", class_="axis-name", x=0, y=floor + 34))
    return Markup("").join(parts)


def _tick(share: float) -> str:
    return f"{100 * share:.3g}{THIN}%"


def _apart(heights: Sequence[float], lowest: float) -> list[float]:
    """Heights of the names: those of the points, moved until no two overlap; order is kept."""
    order = sorted(range(len(heights)), key=lambda i: (heights[i], i))
    placed = [0.0] * len(heights)
    floor = lowest
    for index in reversed(order):  # from the bottom, where good models lie
        placed[index] = floor = min(heights[index], floor)
        floor -= _APART
    ceiling = float(_TOP)
    for index in order:
        placed[index] = ceiling = max(placed[index], ceiling)
        ceiling += _APART
    return placed


def _name(spot: Spot, x: float, y: float, name_y: float) -> Markup:
    name = spot.name if len(spot.name) <= _NAME else spot.name[: _NAME - 1] + "…"
    bend, start = percent(_SHARE + 0.015), percent(_SHARE + 0.025)
    return Markup("").join(
        [
            element("line", class_="leader", x1=percent(x), x2=bend, y1=y, y2=name_y),
            element("text", name, class_=f"spot-name {spot.tone}", x=start, y=name_y + 4),
        ]
    )


def _cross(spot: Spot, x: float, y: float, plane: _Plane) -> Markup:
    parts: list[Markup] = []
    if spot.across.low is not None and spot.across.high is not None:
        low, high = (percent(plane.x(n)) for n in (spot.across.low, spot.across.high))
        parts.append(element("line", class_="whisker", x1=low, x2=high, y1=y, y2=y))
    if spot.up.low is not None and spot.up.high is not None:
        low_y, high_y = (plane.y(n) for n in (spot.up.low, spot.up.high))
        place = percent(x)
        parts.append(element("line", class_="whisker", x1=place, x2=place, y1=low_y, y2=high_y))
    circle = element("circle", class_=f"spot {spot.tone}", cx=percent(x), cy=y, r=spot.radius)
    return Markup("").join([*parts, circle])


def _told(spots: Sequence[Spot], across: str, up: str) -> str:
    """The whole plot in words."""
    models = [
        f"{s.name}: {up.lower()} {rounded(s.up.value, 'share')}, "
        f"{across.lower()} {rounded(s.across.value, 'share')}"
        for s in spots
    ]
    return "; ".join([f"{up} beside {across.lower()}", *models])
