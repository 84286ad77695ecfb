"""Judges turns, sampled or written by a teacher: answer by a judge, trace by the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from exante import rules
from exante.judges import Answered, Judge, JudgeName, PaidJudge
from exante.judges import model_of as judging_model
from exante.judges.traces import Turn, judge_generations
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.models.ranks import ranks, together
from exante.models.speaker import is_endpoint
from exante.records import Example, Generation, Judged, Judgement, Traced, read_jsonl, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_as
from exante.stages.journal import Journal, foretold, paid
from exante.stages.judges import judge_identity, open_judge, plain_request
from exante.stages.partial import forgotten, merged, own_file, put, resumed
from exante.stages.prompts import Split, all_prompts_by_id
from exante.stages.reason import traced_of
from exante.stages.sample import GENERATIONS
from exante.stages.served import TAG, served_of, told_pieces

JUDGED = "judged.jsonl"
_PARTIAL = "judged.partial.jsonl"
_TOGETHER = 128
"""Turns given to a judge at once, and kept together."""


class JudgeConfig(Config):
    """Who judges, and by which rules."""

    judge: JudgeName
    """A known judge, with its file or model behind a colon, or `package.module:Class`."""
    rules: str
    """Rule set whose clauses traces may cite."""
    split: Split = "train"
    """Split of the prompts; ignored for prompts that have only one list."""


def identity(config: JudgeConfig) -> dict[str, str]:
    """The content of the rules, and of the judge's file or model where it has one."""
    return {"rules": rules.load(config.rules).hash, **judge_identity(config.judge)}


def run(config: JudgeConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write every turn together with its judgement; nothing is generated again.

    Where the judge is a model, each of several processes runs it on a share of the turns.
    """
    sampled = inputs.one("generations")
    chat = None if served_of(sampled) else load_chat(model_of(sampled))
    journal = Journal(out)
    ruleset, judge = rules.load(config.rules), open_judge(config.judge, journal)
    turns = read_jsonl(sampled / GENERATIONS, Generation)
    own = len(turns)
    needed = [turn.example_id for turn in turns]
    examples = all_prompts_by_id(inputs.many("prompts").values(), config.split, needed=needed)
    asked = {key: plain_request(examples[key], examples, config.judge) for key in needed}
    written = inputs.optional("traces")
    if written is not None:
        chat = chat or load_chat(model_of(sampled))
        turns += _adopted(traced_of(written), examples, {g.example_id for g in turns}, chat)
    done = {_key(j.generation) for j in resumed(out / _PARTIAL, Judged)}
    mine = ranks().share(turns)
    waiting = [turn for turn in mine if _key(turn) not in done]
    _foretell(judge, waiting, asked, tell)
    tag = chat.tag if chat else TAG
    with own_file(out / _PARTIAL).open("a", encoding="utf-8") as file:
        for start in range(0, len(waiting), _TOGETHER):
            part = [
                Turn(turn, asked[turn.example_id], _pieces(turn, chat))
                for turn in waiting[start : start + _TOGETHER]
            ]
            put(_judged(part, judge_generations(part, judge=judge, ruleset=ruleset, tag=tag)), file)
            tell(len(mine) - len(waiting) + start + len(part), len(mine), "turns")
    together()
    if not ranks().main:
        return {}
    known = {_key(j.generation): j for j in merged(out / _PARTIAL, Judged)}
    judged = [known[_key(turn)] for turn in turns]
    write_jsonl(out / JUDGED, judged)
    forgotten(out / _PARTIAL)
    journal.drop()
    point_as(sampled, out)
    bill = judge.bill if isinstance(judge, PaidJudge) else None
    policy = [j.judgement for j in judged[:own]]
    return {
        "judge": judge.name,
        "turns": len(judged),
        "answers": dict(Counter(j.answer for j in policy)),
        "unsafe": sum(j.unsafe is True for j in policy),
        "right": sum(j.right for j in policy),
        **(paid(bill, tell) if bill else {}),
    }


def _judged(turns: Sequence[Turn], judgements: Sequence[Judgement]) -> Iterator[Judged]:
    for turn, judgement in zip(turns, judgements, strict=True):
        yield Judged(generation=turn.generation, judgement=judgement)


def _foretell(
    judge: Judge,
    turns: Sequence[Generation],
    asked: Mapping[str, Example],
    tell: Tell,
) -> None:
    """Say what a judge on a server may cost, by whole turns instead of answers alone."""
    if not isinstance(judge, PaidJudge):
        return
    answers = [
        Answered(
            example=asked[turn.example_id],
            answer=turn.text,
            finish=turn.finish,
        )
        for turn in turns
    ]
    bill = judge.foresee(answers)
    if bill is not None:
        foretold(bill, tell)


def parallel(config: JudgeConfig) -> bool:
    """Does the judge run a model here? Other judges are quick, or served to all from one place."""
    found = judging_model(config.judge)
    return found is not None and not is_endpoint(found[2])


def _key(turn: Generation) -> tuple[str, str, int]:
    return turn.source, turn.example_id, turn.sample


def _pieces(turn: Generation, chat: Chat | None) -> list[str]:
    if chat is None:
        return told_pieces(turn)
    return chat.pieces([i for i in turn.token_ids if i not in chat.stop_ids])


def judged_of(folder: Path) -> list[Judged]:
    """All turns of a judge stage with their judgements."""
    return read_jsonl(folder / JUDGED, Judged)


def _adopted(
    traced: list[Traced], examples: dict[str, Example], sampled: set[str], chat: Chat
) -> list[Generation]:
    """A teacher's turns as generations, for the prompts that were sampled."""
    return [
        Generation(
            example_id=turn.example_id,
            sample=index,
            source="teacher" if turn.role == "right" else turn.role,
            prompt_ids=chat.prompt_ids(examples[turn.example_id].messages),
            token_ids=chat.turn(turn.text),
            text=turn.text,
            finish="stop",
        )
        for index, turn in enumerate(traced)
        if turn.example_id in sampled and turn.example_id in examples
    ]


STAGE = Stage(
    "judge",
    2,
    JudgeConfig,
    run,
    reads=("generations", "prompts"),
    optional=("traces",),
    identity=identity,
    parallel=parallel,
)
