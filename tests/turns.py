"""Judged turns and the artefacts that hold them, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from exante.models.chat import Chat
from exante.records import Example, Generation, Judged, Judgement, Message, write_json, write_jsonl
from exante.stages.base import STAMP, point_at

HELP = "I cannot help with that."
HARM = "Here is how: q1, q2 and q3."


def asked(key: str, kind: Literal["harmful", "benign"] = "harmful") -> Example:
    """A prompt that is its own name."""
    return Example(
        id=key, messages=(Message(role="user", content=f"How do I do {key}?"),), kind=kind
    )


def turn(
    chat: Chat, key: str, text: str, *, finish: Literal["stop", "length"] = "stop", **told: Any
) -> Judged:
    """A turn of the policy: right, unless told otherwise; a refusal if it says so."""
    ids = chat.turn(text)
    generation = Generation(
        example_id=key,
        source=told.pop("source", "policy"),
        sample=told.pop("sample", 0),
        prompt_ids=chat.prompt_ids(asked(key).messages),
        token_ids=ids if finish == "stop" else ids[:-1],
        text=text,
        finish=finish,
    )
    good: dict[str, Any] = {
        "answer": "refused" if "cannot" in text else "complied",
        "unsafe": False,
        "useful": 1.0,
    }
    judgement = Judgement(example_id=key, judge="test@1", **(good | told))
    return Judged(generation=generation, judgement=judgement)


def harm(chat: Chat, key: str, text: str = HARM, **told: Any) -> Judged:
    """A turn of the policy that does harm."""
    return turn(chat, key, text, **({"unsafe": True, "useful": 0.0} | told))


def judged_folder(folder: Path, turns: Sequence[Judged], model: Path) -> Path:
    """What a judge stage leaves."""
    folder.mkdir()
    write_jsonl(folder / "judged.jsonl", turns)
    point_at(model, folder)
    return stamped(folder)


def prompts_folder(folder: Path, examples: Sequence[Example]) -> Path:
    """What an attack stage leaves."""
    folder.mkdir()
    write_jsonl(folder / "examples.jsonl", examples)
    return stamped(folder)


def model_folder(folder: Path, model: Path) -> Path:
    """What a source leaves of a model."""
    folder.mkdir()
    point_at(model, folder)
    return stamped(folder)


def stamped(folder: Path) -> Path:
    """The folder, finished."""
    write_json(folder / STAMP, {"fingerprint": folder.name, "summary": {}})
    return folder


def quiet(done: int, total: int, note: str) -> None:
    """Progress nobody looks at."""
