"""Judges turns, sampled or written by a teacher: answer by a judge, trace by the rules."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from exante import rules
from exante.errors import InputError
from exante.judges.traces import Turn, judge_generations
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.records import Example, Generation, Judged, Traced, read_jsonl, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.judges import judge_identity, open_judge, reads_request
from exante.stages.partial import put, resumed
from exante.stages.prompts import all_prompts_by_id
from exante.stages.reason import traced_of
from exante.stages.sample import GENERATIONS

JUDGED = "judged.jsonl"
_PARTIAL = "judged.partial.jsonl"
_TOGETHER = 128
"""Turns given to a judge at once, and kept together."""


class JudgeConfig(Config):
    """Who judges, and by which rules."""

    judge: str
    """A known judge, with its file or model behind a colon, or `package.module:Class`."""
    rules: str
    """Rule set whose clauses traces may cite."""
    split: str = "train"
    """Split of the prompts; ignored for prompts that have only one list."""


def identity(config: JudgeConfig) -> dict[str, str]:
    """The content of the rules, and of the judge's file or model where it has one."""
    return {"rules": rules.load(config.rules).hash, **judge_identity(config.judge)}


def run(config: JudgeConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write every turn together with its judgement; nothing is generated again."""
    sampled = inputs.one("generations")
    chat = load_chat(model_of(sampled))
    ruleset, judge = rules.load(config.rules), open_judge(config.judge)
    turns = read_jsonl(sampled / GENERATIONS, Generation)
    own = len(turns)
    needed = [turn.example_id for turn in turns]
    prompts = inputs.many("prompts").values()
    examples = all_prompts_by_id(prompts, config.split, needed=needed)
    written = inputs.optional("traces")
    if written is not None:
        turns += _adopted(traced_of(written), examples, {g.example_id for g in turns}, chat)
    judged = resumed(out / _PARTIAL, Judged)
    with (out / _PARTIAL).open("a", encoding="utf-8") as file:
        for start in range(len(judged), len(turns), _TOGETHER):
            part = [
                Turn(turn, plain_request(turn, examples, config.judge), _pieces(turn, chat))
                for turn in turns[start : start + _TOGETHER]
            ]
            found = judge_generations(part, judge=judge, ruleset=ruleset, tag=chat.tag)
            new = [
                Judged(generation=turn.generation, judgement=judgement)
                for turn, judgement in zip(part, found, strict=True)
            ]
            put(new, file)
            judged += new
            tell(len(judged), len(turns), "turns")
    write_jsonl(out / JUDGED, judged)
    (out / _PARTIAL).unlink()
    point_at(model_of(sampled), out)
    policy = [j.judgement for j in judged[:own]]
    return {
        "judge": judge.name,
        "turns": len(judged),
        "answers": dict(Counter(j.answer for j in policy)),
        "unsafe": sum(j.unsafe is True for j in policy),
        "right": sum(j.right for j in policy),
    }


def plain_request(turn: Generation, examples: dict[str, Example], judge: str) -> Example:
    """The prompt of a turn without its disguise, which no judge sees.

    Raises:
        InputError: it is not among the prompts, and the judge reads it.
    """
    asked = examples[turn.example_id]
    if asked.goal_id is None:
        return asked
    if asked.goal_id not in examples and reads_request(judge):
        raise InputError(
            f"its plain request {asked.goal_id!r}, which judge {judge} reads, is not there",
            where=asked.id,
            fix="keep plain prompts beside attacked ones (plain: true in the attack step)",
        )
    return examples.get(asked.goal_id, asked)


def _pieces(turn: Generation, chat: Chat) -> list[str]:
    return chat.pieces([i for i in turn.token_ids if i != chat.eos_id])


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
    1,
    JudgeConfig,
    run,
    reads=("generations", "prompts"),
    optional=("traces",),
    identity=identity,
)
