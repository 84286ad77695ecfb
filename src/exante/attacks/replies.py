"""What attackers and scorers wrote, read from the last JSON object of their reply.

Total: any text gives a value or None, and nothing is guessed from prose.
"""

from __future__ import annotations

import json
from typing import Any

_READ = 20_000
"""Characters at the end of a reply in which an object is looked for."""


def last_object(text: str) -> dict[str, Any] | None:
    """The last JSON object in a text that holds anything else beside it; None if there is none.

    An object inside another one is a part of it and not looked for.
    """
    text = text[-_READ:]
    decoder = json.JSONDecoder(strict=False)
    found: dict[str, Any] | None = None
    at = text.find("{")
    while at != -1:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found = value
        at = text.find("{", end)
    return found


def prompt_in(reply: str) -> str | None:
    """The message that an attacker wrote; one with half a character in it cannot be sent."""
    value = (last_object(reply) or {}).get("prompt")
    if not isinstance(value, str) or any("\ud800" <= sign <= "\udfff" for sign in value):
        return None
    return value.strip() or None


def score_in(reply: str) -> int | None:
    """A score from 1 to 10; anything else is none."""
    value = (last_object(reply) or {}).get("score")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 1 <= value <= 10 else None


def match_in(reply: str) -> bool | None:
    """Whether two messages were found to ask for the same."""
    value = (last_object(reply) or {}).get("match")
    return value if isinstance(value, bool) else None
