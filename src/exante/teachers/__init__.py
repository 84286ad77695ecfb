"""Who writes the first traces, and the mechanical filters that every trace must pass.

A teacher is named in `TEACHERS` or as `package.module:Class`; it is loaded when first used.
"""

from __future__ import annotations

from exante import plugins
from exante.teachers.base import Teacher

TEACHERS: dict[str, str] = {
    "miniature": "exante.miniature.teacher:MiniatureTeacher",
    "template": "exante.teachers.template:TemplateTeacher",
}
"""Known teachers; a user's own is named `package.module:Class`."""

__all__ = ["TEACHERS", "Teacher", "load_teacher"]


def load_teacher(name: str) -> Teacher:
    """The teacher of that name.

    Raises:
        InputError: there is no such teacher; lists the known ones.
    """
    teacher: Teacher = plugins.load(TEACHERS, name, "teacher")()
    return teacher
