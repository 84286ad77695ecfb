"""Makes rows that teach to leave a harmful answer at any point of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from exante import supervision
from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.records import Judged, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.judge import judged_of
from exante.stages.shape import ROWS


class RecoverConfig(Config):
    """Which token turns an answer into a refusal, and how often."""

    word: str | None = "Sorry"
    """A word that is one token of the policy; null takes the token that the refusals among the
    turns begin with most often."""
    per_prompt: int = Field(default=2, ge=1)
    """Most unsafe turns of one prompt; each makes two rows."""
    dropout: float = Field(default=0.95, ge=0, lt=1)
    """Share of an unsafe turn's positions at which nothing is learned; one always stays."""
    seed: int = 0
    """Chooses turns, lengths of beginnings and positions."""


def run(config: RecoverConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write refusals behind unsafe beginnings, and unsafe turns with the refusal's token."""
    place = inputs.one("judged")
    turns, chat = judged_of(place), load_chat(model_of(place))
    token = refusal_token(config.word, turns, chat, str(place))
    made = supervision.recovering(
        turns,
        token,
        per_prompt=config.per_prompt,
        dropout=config.dropout,
        seed=config.seed,
    )
    write_jsonl(out / ROWS, made.rows)
    point_at(model_of(place), out)
    return {"rows": len(made.rows), "refusal_token": chat.decode([token]), **made.counts}


def refusal_token(word: str | None, turns: Sequence[Judged], chat: Chat, where: str) -> int:
    """The one token that begins a refusal.

    Raises:
        InputError: the word is not one token, or there is no word and no refusal to take it from.
    """
    usual = supervision.first_token(turns)
    if word is None:
        if usual is None:
            raise InputError(
                "no turn refuses, so there is no token that refusals begin with",
                where=where,
                fix="name a word, or add refusals of a teacher to the judged turns",
            )
        return usual
    ids = chat.encode(word)
    if len(ids) != 1:
        likely = "" if usual is None else f"; refusals here begin with {chat.decode([usual])!r}"
        raise InputError(
            f"{word!r} is {len(ids)} tokens of this model, and one is needed",
            where=where,
            fix=f"set `word` to a refusal's first token, or to null to take it from the turns"
            f"{likely}",
        )
    return ids[0]


STAGE = Stage("recover", 1, RecoverConfig, run, reads=("judged",))
