"""When the next request may go out: limits per minute, and what a server asks for in its headers.

Arithmetic on a clock that the caller reads; nothing sleeps here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MINUTE = 60.0


class Pace:
    """Spreads requests evenly: after one, the next waits for its share of a minute."""

    def __init__(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        """None is no limit."""
        self._per_request = _MINUTE / requests_per_minute if requests_per_minute else 0.0
        self._per_token = _MINUTE / tokens_per_minute if tokens_per_minute else 0.0
        self._free = 0.0

    def book(self, now: float, tokens: int) -> float:
        """Seconds to wait before a request of so many tokens; its place is then taken."""
        start = max(now, self._free)
        self._free = start + max(self._per_request, self._per_token * tokens)
        return start - now

    def settle(self, booked: int, used: int) -> None:
        """Correct what was booked by what the server counted."""
        if self._per_token * booked > self._per_request:
            self._free += self._per_token * used - self._per_token * booked

    def hold(self, until: float) -> None:
        """Send nothing before that time."""
        self._free = max(self._free, until)


def pause_asked(headers: Mapping[str, str], now: float | None = None) -> float:
    """Seconds that a server asks to wait; 0 where it asks for nothing that can be read.

    `Retry-After` in seconds or as a date (RFC 9110), `retry-after-ms`, and `x-ratelimit-reset-*`
    (`6m0s`) where `x-ratelimit-remaining-*` is 0. `headers` are looked up in lower case; `now` is
    the time since the epoch.
    """
    asked = [
        _number(headers.get("retry-after-ms", "")) / 1e3,
        _retry_after(headers.get("retry-after", ""), time.time() if now is None else now),
    ]
    for what in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0":
            asked.append(_span(headers.get(f"x-ratelimit-reset-{what}", "")))
    return max(asked)


def _number(text: str) -> float:
    text = text.strip()
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d+)?", text, re.ASCII) else 0.0


def _retry_after(text: str, now: float) -> float:
    text = text.strip()
    if not text or text[0].isdigit():
        return _number(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _span(text: str) -> float:
    """`1s`, `6m0s`, `20ms`, or a bare number of seconds."""
    text = text.strip()
    if not _SPAN.match(text):
        return _number(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in _SPAN.findall(text))
