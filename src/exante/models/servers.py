"""How servers are to be asked: at what pace, how often, at what price; one file for all of them.

None of this changes what is made, so it is in no recipe and no fingerprint.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, RootModel

from exante import documents

SERVERS = "EXANTE_SERVERS"
"""Environment variable with the path of the file; `exante --servers FILE` sets it."""
_FIX = "a mapping of addresses to settings: see docs/servers.md"
_MILLION = 1e6


class ServerSettings(BaseModel):
    """How one server is asked."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    at_once: int = Field(default=8, ge=1)
    """Requests that wait for their reply at the same time."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """None is no limit of ours."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Of prompts and replies together; None is no limit of ours."""
    timeout_seconds: float = Field(default=120.0, gt=0)
    """Longest wait for one whole reply."""
    tries: int = Field(default=5, ge=1)
    """How often a request is sent that meets passing faults."""
    prompt_price: float | None = Field(default=None, ge=0)
    """For a million tokens of prompts."""
    reply_price: float | None = Field(default=None, ge=0)
    """For a million tokens of replies."""

    def cost(self, prompt_tokens: int, tokens: int) -> float | None:
        """What so many tokens cost; None without both prices."""
        if self.prompt_price is None or self.reply_price is None:
            return None
        return (prompt_tokens * self.prompt_price + tokens * self.reply_price) / _MILLION


class _Servers(RootModel[dict[str, ServerSettings]]):
    """The file: settings by address."""


def settings_for(name: str) -> ServerSettings:
    """The settings of `URL#MODEL`: those under that name, else under the URL, else the defaults.

    Raises:
        InputError: the file of servers cannot be read or does not fit.
    """
    file = os.environ.get(SERVERS, "").strip()
    if not file:
        return ServerSettings()
    known = read_servers(Path(file))
    return known.get(name) or known.get(name.partition("#")[0]) or ServerSettings()


def read_servers(path: Path) -> dict[str, ServerSettings]:
    """The settings of a file by address; none where it is empty.

    Raises:
        InputError: it cannot be read or does not fit; names line and field.
    """
    text = documents.text_of(path, fix=_FIX)
    if documents.values(text, where=str(path)) is None:
        return {}
    return documents.parse(text, _Servers, where=str(path), fix=_FIX).root
