"""When a request may go out, on a clock of the test's own."""

from __future__ import annotations

import pytest

from exante.models.pace import Pace, pause_asked

NOON = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110


def test_without_limits_nothing_waits() -> None:
    pace = Pace()
    assert [pace.book(5.0, 1000) for _ in range(3)] == [0, 0, 0]


def test_the_stricter_limit_counts() -> None:
    pace = Pace(requests_per_minute=60, tokens_per_minute=600)
    assert pace.book(0.0, 20) == 0
    assert pace.book(0.0, 5) == 2
    assert pace.book(0.0, 5) == 3
    assert pace.book(100.0, 5) == 0


def test_what_was_not_used_is_given_back() -> None:
    pace = Pace(tokens_per_minute=60)
    pace.book(0.0, 100)
    pace.settle(100, 10)
    assert pace.book(0.0, 1) == pytest.approx(10)


def test_nothing_goes_out_while_a_server_wants_peace() -> None:
    pace = Pace()
    pace.hold(30.0)
    assert pace.book(10.0, 1) == 20
    pace.hold(5.0)
    assert pace.book(10.0, 1) == 20


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT"}, 30),
        ({"retry-after": "Sun, 06 Nov 1994 08:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": " "}, 0),
        ({"retry-after": "٧"}, 0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "9s"}, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m20ms"}, 60.02),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12"}, 12),
        ({"x-ratelimit-remaining-tokens": "0"}, 0),
    ],
)
def test_what_headers_ask_for(headers: dict[str, str], seconds: float) -> None:
    assert pause_asked(headers, NOON) == pytest.approx(seconds)
