"""Replaces answers by a refusal where the model's own check speaks against them."""

from __future__ import annotations

from pathlib import Path

from exante.defences import REFUSAL, verdict
from exante.errors import ArtefactError
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.records import Generation, read_jsonl, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.defend import answers_of
from exante.stages.sample import GENERATIONS


class WithholdConfig(Config):
    """Nothing can be chosen: a check that says neither safe nor unsafe withholds nothing."""


def run(config: WithholdConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write every turn, those called unsafe by their checks as a refusal."""
    answered, asked = inputs.one("generations"), inputs.one("checks")
    chat = load_chat(model_of(answered))
    said = {example_id: verdict(text) for example_id, text in answers_of(asked).items()}
    turns = read_jsonl(answered / GENERATIONS, Generation)
    missing = next((t.example_id for t in turns if t.example_id not in said), None)
    if missing is not None:
        raise ArtefactError(
            f"holds no check of {missing!r}", where=str(asked), fix="check the same prompts"
        )
    kept = [_refused(t, chat) if said[t.example_id] == "unsafe" else t for t in turns]
    write_jsonl(out / GENERATIONS, kept)
    point_at(model_of(answered), out)
    return {
        "turns": len(turns),
        "withheld": sum(said[t.example_id] == "unsafe" for t in turns),
        "unread": sum(said[t.example_id] is None for t in turns),
    }


def _refused(turn: Generation, chat: Chat) -> Generation:
    """The same turn with the refusal in the place of everything that the model wrote."""
    return turn.model_copy(
        update={
            "token_ids": chat.turn(REFUSAL),
            "logprobs": (),
            "scored_by": "",
            "forced": 0,
            "text": REFUSAL,
            "finish": "stop",
        }
    )


STAGE = Stage("withhold", 1, WithholdConfig, run, reads=("generations", "checks"))
