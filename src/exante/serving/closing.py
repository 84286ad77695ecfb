"""Ways to end a trace from where it stands, so that what is left out is missing and not broken."""

from __future__ import annotations

import re
from typing import get_args

from exante import traces
from exante.records import Decision
from exante.serving.splitting import partial_match

_TAG = re.compile(rf"<(/?(?:{'|'.join(traces.SECTIONS)}))>")
_CATEGORY = re.compile(r"\[[^\[\]\s]+\]\s*\Z")
_DECISIONS: tuple[str, ...] = get_args(Decision)


def closings(body: str, tag: str = "think") -> tuple[str, ...]:
    """The texts of which one ends the open trace: one per decision that it may still take.

    `body` is what stands behind the think tag. A section that is open is closed, one that did not
    begin stays out, but a decision is always stated. Text without our sections is only closed.
    """
    end = f"</{tag}>"
    last, inside = _last_tag(body)
    decided = tuple(f"{decision}</calibrate>{end}" for decision in _DECISIONS)
    if last in ("assess", "verify"):
        ways = tuple(f"</{last}><calibrate>{way}" for way in decided)
    elif last in ("/assess", "/verify"):
        begun = inside.strip()
        next_is_verify = "<verify>".startswith(begun) and not "<calibrate>".startswith(begun)
        skipped = "<verify></verify>" if next_is_verify else ""
        ways = tuple(f"{skipped}<calibrate>{way}" for way in decided)
    elif last == "calibrate":
        word = inside.strip()
        open_still = word not in _DECISIONS
        ways = tuple(way for way in decided if open_still and way.startswith(word))
        ways = ways or (f"</calibrate>{end}",)
    else:
        ways = (end,)
    return tuple(dict.fromkeys(_behind(body, way) for way in ways))


def may_be_short(body: str) -> bool:
    """Has the trace just assessed the request without naming a risk? Then its short form is due."""
    last, inside = _last_tag(body)
    if last != "/assess" or not "<calibrate>".startswith(inside.strip()):
        return False
    assessed = body[: body.rindex("</assess>")]
    return _CATEGORY.search(assessed) is None


def _last_tag(body: str) -> tuple[str, str]:
    """The name of the last section tag and the text behind it."""
    found = list(_TAG.finditer(body))
    return (found[-1][1], body[found[-1].end() :]) if found else ("", body)


def _behind(body: str, way: str) -> str:
    """What is left of the way where its beginning is written already."""
    return way[partial_match(body, way) :]
