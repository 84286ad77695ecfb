"""Teachers by name, those that run a model included, and what identifies them.

The package `teachers` is pure and loads no model; here a teacher is handed the one its name asks
for.
"""

from __future__ import annotations

from exante.errors import InputError
from exante.models.speaker import is_endpoint, load_speaker, speaker_fingerprint
from exante.speakers import Memory, Speaker
from exante.teachers import Teacher, load_teacher, model_of
from exante.teachers.speaking import SpeakingTeacher

_WRITING_TOKENS = 2048
"""Most tokens of a reply: three traces and an answer."""


def open_teacher(name: str, memory: Memory | None = None) -> Teacher:
    """The teacher of that name: `server:URL#MODEL`, `local:FOLDER`, or of `teachers`.

    `memory` keeps what a teacher on a server says.

    Raises:
        InputError: there is no such teacher, or its model is missing.
    """
    model = _model_of(name)
    if model is None:
        return load_teacher(name)
    return SpeakingTeacher(load_speaker(model, max_new_tokens=_WRITING_TOKENS, memory=memory))


def open_speaker(name: str) -> Speaker:
    """The chat model of a teacher that has one.

    Raises:
        InputError: the teacher has none, or it is missing.
    """
    model = _model_of(name)
    if model is None:
        raise InputError(
            f"teacher {name} is no chat model",
            fix="server:http://HOST/v1#MODEL, or local:FOLDER",
        )
    return load_speaker(model, max_new_tokens=_WRITING_TOKENS)


def teacher_identity(name: str) -> dict[str, str]:
    """The weights of a local model; an address stands in the settings already."""
    model = _model_of(name)
    if model is None or is_endpoint(model):
        return {}
    return {"teacher": speaker_fingerprint(model)}


def _model_of(name: str) -> str | None:
    """The model behind the name.

    Raises:
        InputError: a server is named without its address.
    """
    model = model_of(name)
    if model is not None and name.startswith("server:") != is_endpoint(model):
        raise InputError(
            f"teacher {name} does not say where its model is",
            fix="server:http://HOST/v1#MODEL for one on a server, local:FOLDER for one here",
        )
    return model
