"""Lets a teacher write traces and answers, and keeps those that pass the mechanical filters."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat

from exante import rules, traces
from exante.judges import (
    Answered,
    AnswerJudgement,
    HarmJudge,
    Judge,
    JudgeName,
    PaidJudge,
    model_of,
    opinions,
)
from exante.judges.base import is_harmful
from exante.records import Example, Traced, read_jsonl, write_json, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell
from exante.stages.journal import Journal, foretold, paid
from exante.stages.judges import judge_identity, open_judge, plain_request
from exante.stages.prompts import examples_of
from exante.stages.teachers import open_teacher, teacher_identity
from exante.stages.written import written_turns
from exante.teachers import PaidTeacher, TeacherName
from exante.teachers.filters import Filtered, FilterSettings, Views, sift

TRACED = "traced.jsonl"
Level = Literal["full", "brief", "terse"]


class ReasonConfig(Config):
    """Who writes, under which rules, and what is kept."""

    rules: str
    """`miniature`, `general`, or a rule set file."""
    teacher: TeacherName
    """A known teacher, `server:URL#MODEL`, `local:FOLDER`, or `package.module:Class`."""
    judge: JudgeName
    """The judge that checks answers against labels."""
    trace: bool = True
    """Keep the reasoning; off leaves bare answers, for baselines."""
    levels: dict[Level, NonNegativeFloat] = {"full": 0.4, "brief": 0.3, "terse": 0.3}
    """How often each verbosity level is taken."""
    disguised: dict[Level, NonNegativeFloat] | None = None
    """The same for prompts in a disguise, which need more thought; None takes `levels`."""
    filters: FilterSettings = FilterSettings()
    """What the filters let through."""
    seed: int = 0
    """Chooses wordings and levels."""
    earlier: str | None = Field(default=None, exclude=True)
    """A run or step whose turns are taken where nothing that they depend on has changed. Turns are
    the same either way, so it is no part of what identifies this step."""


def identity(config: ReasonConfig) -> dict[str, str]:
    """The content of the rules, and of the teacher and the judge where they have a model or a file.

    Editing a clause makes other traces; what a judge rejects is not kept.
    """
    return {
        "rules": rules.load(config.rules).hash,
        **teacher_identity(config.teacher),
        **judge_identity(config.judge),
    }


def run(config: ReasonConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write right turns and negative thoughts, and the rejected ones with their reasons."""
    journal, grades = Journal(out), Journal(out, "judge")
    ruleset, teacher = rules.load(config.rules), open_teacher(config.teacher, journal)
    judge = open_judge(config.judge, grades)
    examples = {e.id: e for e in examples_of(inputs.one("prompts"), "train")}
    work = written_turns(
        teacher,
        list(examples.values()),
        ruleset,
        config.seed,
        out=out,
        earlier=Path(config.earlier) if config.earlier else None,
        tell=tell,
    )
    written: list[Traced] = []
    for example, one in zip(examples.values(), work.written, strict=True):
        turns = list(one.turns)
        written += _with_trace(turns, example, config) if config.trace else _bare(turns)
    found = sift(
        written, examples, ruleset, _views(judge, written, examples, config, tell), config.filters
    )
    without = sum(not one.turns for one in work.written)
    if said := _losses(without, len(examples), found):
        tell(0, 0, f"teacher: {said}")
    write_jsonl(out / TRACED, found.kept)
    write_jsonl(out / "rejected.jsonl", found.rejected)
    write_json(out / "rules.json", {"name": ruleset.name, "hash": ruleset.hash})
    journal.drop()
    grades.drop()
    bills = [teacher.bill if isinstance(teacher, PaidTeacher) else None]
    bills += [judge.bill if isinstance(judge, PaidJudge) else None]
    known = [bill for bill in bills if bill is not None]
    return {
        "teacher": teacher.name,
        "asked": work.asked,
        "without_turns": without,
        "written": len(written),
        "kept": len(found.kept),
        "roles": dict(Counter(t.role for t in found.kept)),
        "levels": dict(Counter(t.level for t in found.kept if t.role == "right")),
        "rejected": found.counts,
        **(paid(sum(known[1:], known[0]), tell) if known else {}),
    }


def _views(
    judge: Judge,
    turns: Sequence[Traced],
    examples: Mapping[str, Example],
    config: ReasonConfig,
    tell: Tell,
) -> Views:
    """How the filters see answers; a judge that runs a model is asked about all of them at once.

    It reads the plain request, as everywhere.

    Raises:
        InputError: the plain request of a disguised prompt is not there.
    """
    harmful = partial(is_harmful, judge) if isinstance(judge, HarmJudge) else None
    if model_of(config.judge) is None:

        def said_of(example: Example, answer: str, finish: str) -> AnswerJudgement:
            return opinions(judge, [Answered(example=example, answer=answer, finish=finish)])[0]

        return Views(answer=said_of, trace_harmful=harmful)
    asked: dict[tuple[str, str], Answered] = {}
    for turn in turns:
        example, answer = examples[turn.example_id], traces.parse(turn.text).answer or ""
        plain = plain_request(example, examples, config.judge)
        asked[example.id, answer] = Answered(example=plain, answer=answer, finish="stop")
    items = list(asked.values())
    bill = judge.foresee(items) if isinstance(judge, PaidJudge) else None
    if bill is not None:
        foretold(bill, tell)
    said = dict(zip(asked, opinions(judge, items), strict=True))
    return Views(answer=lambda e, answer, _: said[e.id, answer], trace_harmful=harmful)


def traced_of(folder: Path) -> list[Traced]:
    """All turns that a reason stage let through."""
    return read_jsonl(folder / TRACED, Traced)


def _losses(without: int, prompts: int, found: Filtered) -> str:
    """What a person should know of a teacher's work before a model is trained on it; or nothing."""
    said = [f"nothing usable for {without} of {prompts} prompts"] if without else []
    if found.rejected:
        by = ", ".join(f"{name} {count}" for name, count in found.counts.items() if count)
        said.append(f"{len(found.kept)} turns kept, {len(found.rejected)} rejected: {by}")
    return "; ".join(said)


def _with_trace(turns: list[Traced], example: Example, config: ReasonConfig) -> list[Traced]:
    """One right turn at a drawn level, and every negative thought."""
    rng = random.Random(f"level {config.seed} {example.id}")
    right = {turn.level: turn for turn in turns if turn.role == "right"}
    shares = config.levels
    if config.disguised is not None and example.attack != "direct":
        shares = config.disguised
    weights = [0.0 if level == "none" else shares.get(level, 0.0) for level in right]
    chosen = rng.choices(list(right.values()), weights) if any(weights) else []
    return chosen + [turn for turn in turns if turn.role != "right"]


def _bare(turns: list[Traced]) -> list[Traced]:
    """The answer of the first right turn, without its trace."""
    right = next((turn for turn in turns if turn.role == "right"), None)
    answer = traces.parse(right.text).answer if right else None
    if right is None or not answer:
        return []
    return [right.model_copy(update={"text": answer, "level": "none"})]


STAGE = Stage("reason", 1, ReasonConfig, run, reads=("prompts",), identity=identity)
