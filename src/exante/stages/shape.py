"""Weighs turns chunk by chunk by how safe they are so far, for a training that shapes safety."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from pydantic import Field

from exante import supervision, traces
from exante.errors import InputError
from exante.judges import Answered, AnswerJudgement, Judge, JudgeName, PaidJudge, opinions
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.records import Example, Judged, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.journal import Journal, paid
from exante.stages.judge import judged_of
from exante.stages.judges import judge_identity, open_judge, plain_request
from exante.stages.prompts import Split, prompts_by_id

ROWS = "rows.jsonl"


class ShapeConfig(Config):
    """Who weighs, and how finely."""

    judge: JudgeName
    """A judge that can tell of the beginning of an answer whether it is unsafe."""
    chunk_tokens: int = Field(default=5, ge=1)
    """Tokens of a chunk; each adds one text to judge."""
    strength: float = Field(default=0.5, ge=0)
    """Pull towards the reference where a turn is unsafe, in the place of learning (lambda_KL)."""
    split: Split = "train"
    """Split of the prompts; ignored for prompts that have only one list."""


def identity(config: ShapeConfig) -> dict[str, str]:
    """The content of the judge's file or model, where it has one."""
    return judge_identity(config.judge)


def run(config: ShapeConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write every finished turn with a weight and a pull for each of its tokens."""
    place, journal = inputs.one("judged"), Journal(out)
    chat, judge = load_chat(model_of(place)), open_judge(config.judge, journal)
    groups = supervision.by_prompt(judged_of(place))
    examples = prompts_by_id(inputs.one("prompts"), config.split, needed=groups)
    rows, unjudged, chunks = [], 0, 0
    for done, group in enumerate(groups.values(), start=1):
        prompt = examples[group[0].generation.example_id]
        asked = plain_request(prompt, examples, config.judge)
        for turn in group:
            known = _chances(turn, asked, judge, chat, config.chunk_tokens)
            chunks, unjudged = chunks + len(known), unjudged + known.count(None)
            rows.append(
                supervision.shaped(
                    turn, _filled(known), chunk=config.chunk_tokens, strength=config.strength
                )
            )
        tell(done, len(groups), "prompts")
    if chunks and unjudged == chunks:
        raise InputError(
            f"judge {config.judge} could not judge any beginning of any turn",
            where=str(place),
            fix="take a judge that reads unfinished answers, such as a guard model",
        )
    write_jsonl(out / ROWS, rows)
    journal.drop()
    point_at(model_of(place), out)
    bill = judge.bill if isinstance(judge, PaidJudge) else None
    weights = [weight for row in rows for weight in _weights(row.weight)]
    return {
        "rows": len(rows),
        "chunks": chunks,
        "unjudged": unjudged,
        "mean_weight": round(mean(weights), 4) if weights else None,
        **(paid(bill, tell) if bill else {}),
    }


def _chances(
    turn: Judged, asked: Example, judge: Judge, chat: Chat, chunk: int
) -> list[float | None]:
    """The chance, after each chunk, that the turn is safe; None where the judge cannot tell.

    A judge reads the answer and no trace, so it cannot tell before the answer begins.
    """
    _, response = supervision.parts_of(turn)
    forced = turn.generation.token_ids[: turn.generation.forced]
    texts = [
        traces.parse(chat.decode((*forced, *response[:end])), tag=chat.tag).answer
        for end in supervision.chunk_ends(len(response), chunk)
    ]
    read = [place for place, text in enumerate(texts) if text is not None]
    asked_of = [
        Answered(
            example=asked,
            answer=texts[place] or "",
            finish="stop",
            turn=turn.generation.example_id,
            sample=turn.generation.sample,
            source=turn.generation.source,
        )
        for place in read
    ]
    found = dict(zip(read, map(_safe, opinions(judge, asked_of)), strict=True))
    return [found.get(place) for place in range(len(texts))]


def _safe(opinion: AnswerJudgement) -> float | None:
    """The chance of being safe: the judge's own where it grades, else all or nothing."""
    if opinion.unsafe is None:
        return None
    if opinion.harm is None:
        return 0.0 if opinion.unsafe else 1.0
    return 1.0 - opinion.harm


def _filled(chances: Sequence[float | None]) -> list[float]:
    """What cannot be told is as safe as what stood before; a turn begins safe."""
    found: list[float] = []
    for chance in chances:
        before = found[-1] if found else 1.0
        found.append(before if chance is None else chance)
    return found


def _weights(weight: float | tuple[float, ...]) -> tuple[float, ...]:
    return weight if isinstance(weight, tuple) else (weight,)


STAGE = Stage("shape", 1, ShapeConfig, run, reads=("judged", "prompts"), identity=identity)
