"""What a server's reply means: a turn, a list of models, or a fault that passes or stays."""

from __future__ import annotations

import json
from typing import Any

from exante.speakers import Said

_SHOWN = 200
"""Characters of a server's own message that are shown."""


class FaultError(Exception):
    """One try that gave no reply; with a `fix` it is final."""

    def __init__(
        self, said: str, *, fix: str = "", wait_seconds: float = 0.0, status: int | None = None
    ) -> None:
        """`fix` tells a person what to change; `wait_seconds` is what the server asks for."""
        super().__init__(said)
        self.status = status
        self.fix = fix
        self.wait_seconds = wait_seconds


def fault_of(status: int, raw: bytes, wait_seconds: float, fixes: dict[int, str]) -> FaultError:
    """What a status means; the server's own words are cut short."""
    said = " ".join(raw[:4096].decode("utf-8", "replace").split())[:_SHOWN]
    passing = status in (408, 429) or status >= 500
    fix = "" if passing else fixes.get(status, "check the URL and what it serves")
    text = f"status {status} {said}".strip()
    return FaultError(text, fix=fix, wait_seconds=wait_seconds, status=status)


def said_in(raw: bytes) -> Said:
    """The turn that a chat completion holds; one without words (a filter's, say) is no fault.

    Raises:
        FaultError: it is no chat completion; asked again, the server may give one.
    """
    found = parsed(raw)
    try:
        choice = found["choices"][0]
        message = choice["message"]
        text = message["content"]
    except (KeyError, IndexError, TypeError):
        raise FaultError("its reply holds no choices[0].message.content") from None
    if text is not None and not isinstance(text, str):
        raise FaultError("the content of its reply is no text")
    # vLLM has called it `reasoning` since it left `reasoning_content`.
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    usage = found.get("usage")
    return Said(
        text=_whole(text or ""),
        reasoning=_whole(reasoning) if isinstance(reasoning, str) else "",
        finish="length" if choice.get("finish_reason") == "length" else "stop",
        prompt_tokens=_count(usage, "prompt_tokens"),
        tokens=_count(usage, "completion_tokens"),
    )


def models_in(raw: bytes) -> list[dict[str, Any]]:
    """The models that a list of models holds; none where it is no such list.

    Raises:
        FaultError: it is no JSON.
    """
    found = parsed(raw)
    data = found.get("data") if isinstance(found, dict) else None
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def parsed(raw: bytes) -> Any:
    """The JSON of a reply.

    Raises:
        FaultError: it is none, or only its beginning.
    """
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise FaultError("its reply is no JSON") from None


def _whole(text: str) -> str:
    """The text without halves of characters, which JSON can hold and no file: a server cut one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(usage: Any, name: str) -> int | None:
    found = usage.get(name) if isinstance(usage, dict) else None
    return found if isinstance(found, int) and found >= 0 else None
