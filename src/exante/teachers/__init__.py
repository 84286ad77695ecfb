"""Who writes the first traces, and the mechanical filters that every trace must pass.

A teacher is named in `TEACHERS` or as `package.module:Class`; it is loaded when first used. Those
that run a model, `server:URL#MODEL` and `local:FOLDER`, get it from whoever may load models
(`stages.teachers`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from exante import plugins
from exante.errors import InputError, unknown_name
from exante.teachers.base import Assignment, PaidTeacher, Teacher, assignment, turns_of

TEACHERS: dict[str, str] = {
    "miniature": "exante.miniature.teacher:MiniatureTeacher",
    "template": "exante.teachers.template:TemplateTeacher",
    "server": "exante.teachers.speaking:SpeakingTeacher",
    "local": "exante.teachers.speaking:SpeakingTeacher",
}
"""Known teachers; a user's own is named `package.module:Class`."""
_NEEDS = {
    "server": "--teacher server:http://HOST/v1#MODEL",
    "local": "--teacher local:FOLDER",
}
"""What a bare name lacks."""

__all__ = [
    "TEACHERS",
    "Assignment",
    "PaidTeacher",
    "Teacher",
    "TeacherName",
    "assignment",
    "load_teacher",
    "model_of",
    "turns_of",
]


def load_teacher(name: str) -> Teacher:
    """The teacher of that name.

    Raises:
        InputError: there is no such teacher; lists the known ones. Or it runs a model.
    """
    kind = name.partition(":")[0]
    if kind in _NEEDS:
        problem = f"teacher {kind} needs a model" if kind == name else f"{name} is not loaded here"
        raise InputError(problem, fix=_NEEDS[kind])
    teacher = plugins.made(TEACHERS, name, "teacher")
    if not isinstance(teacher, Teacher):
        raise InputError(
            f"{name} is no teacher",
            fix="give package.module:Class of one with a `name` and a method `write`",
        )
    return teacher


def known(name: str) -> str:
    """The name, if it is one of a teacher as far as can be told without loading it.

    Raises:
        InputError: it is in no table and names no module or model.
    """
    if ":" not in name and name not in TEACHERS:
        raise unknown_name("teacher", name, TEACHERS)
    return name


TeacherName = Annotated[str, AfterValidator(known)]
"""A setting that names a teacher: a typo is found before a run begins."""


def model_of(name: str) -> str | None:
    """The model that the teacher of that name runs: a folder, or an address with a model."""
    kind, _, model = name.partition(":")
    return model if kind in _NEEDS and model else None
