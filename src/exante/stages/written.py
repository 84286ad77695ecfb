"""What teachers wrote, prompt by prompt, under a hash of all that they went by.

A turn is taken from an earlier run if a teacher that was asked now would be told the same: the same
teacher, prompt and seed, and the same part of the rules. That part is chosen anew from the rules as
they are now, and the teacher is given nothing else. An edited clause therefore makes every prompt
anew to whose teacher it is shown, whether or not an earlier trace cited it, and no other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from exante.errors import InputError
from exante.records import Example, Record, Traced, parse_line, write_jsonl
from exante.rules import RuleSet
from exante.stages.base import Tell
from exante.stages.journal import foretold
from exante.stages.partial import put, resumed, whole_lines
from exante.teachers import Assignment, PaidTeacher, Teacher, assignment, turns_of

WRITTEN = "written.jsonl"
_TOGETHER = 256
"""Prompts given to a teacher at once, and kept together."""


class Written(Record):
    """A teacher's turns for one prompt."""

    key: str
    """Hash of teacher, prompt, rules and seed."""
    example_id: str
    turns: tuple[Traced, ...]


class Work(NamedTuple):
    """All turns in the prompts' order, and how many prompts the teacher was asked about."""

    written: list[Written]
    asked: int


def written_turns(
    teacher: Teacher,
    examples: Sequence[Example],
    ruleset: RuleSet,
    seed: int,
    *,
    out: Path,
    earlier: Path | None,
    tell: Tell,
) -> Work:
    """Every prompt's turns: what this run or `earlier` holds and still fits, the others anew.

    Raises:
        RunError: the teacher failed; what was finished is in `out`.
    """
    tasks = [assignment(teacher, example, ruleset) for example in examples]
    keys = [key_of(teacher, task, seed) for task in tasks]
    # Steps of one run ask the same teacher about the same prompts: once is enough.
    own = [*_steps_of(out.parent), *resumed(out / WRITTEN, Written)]
    kept = [*_found_in(earlier), *own]
    known = {one.key: one for one in kept}
    waiting = [place for place, key in enumerate(keys) if key not in known]
    if earlier is not None and not own:
        tell(0, 0, f"teacher: {len(keys) - len(waiting)} prompts taken, {len(waiting)} asked anew")
    if isinstance(teacher, PaidTeacher):
        bill = teacher.foresee([tasks[place] for place in waiting])
        if bill is not None:
            foretold(bill, tell)
    with (out / WRITTEN).open("a", encoding="utf-8") as file:
        for start in range(0, len(waiting), _TOGETHER):
            part = waiting[start : start + _TOGETHER]
            for place, turns in zip(
                part, turns_of(teacher, [tasks[place] for place in part], seed), strict=True
            ):
                new = Written(key=keys[place], example_id=examples[place].id, turns=tuple(turns))
                known[new.key] = new
                put([new], file)
            tell(len(examples) - len(waiting) + start + len(part), len(examples), "prompts")
    found = [known[key] for key in keys]
    write_jsonl(out / WRITTEN, found)
    return Work(found, len(waiting))


def key_of(teacher: Teacher, task: Assignment, seed: int) -> str:
    """What the turns of an assignment depend on, as a hash."""
    parts = [teacher.name, task.example.model_dump_json(), task.rules.hash, seed]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _found_in(earlier: Path | None) -> list[Written]:
    """What was written in a step, or in all steps of a run.

    Raises:
        InputError: nothing was.
    """
    if earlier is None:
        return []
    found = [*_read(earlier / WRITTEN), *_steps_of(earlier)]
    if not found:
        raise InputError(
            "holds nothing that a teacher wrote",
            where=str(earlier),
            fix="give a run folder with a reason step",
        )
    return found


def _steps_of(run: Path) -> list[Written]:
    return [one for path in sorted(run.glob(f"*/{WRITTEN}")) for one in _read(path)]


def _read(path: Path) -> list[Written]:
    return [parse_line(line, Written, where=str(path)) for line in whole_lines(path)]
