"""Rows with one answer to a prompt: labelled, to be imitated, or with reasoning in front."""

from __future__ import annotations

from itertools import product
from typing import Any

from exante import traces
from exante.errors import InputError, listed
from exante.formats.base import (
    Content,
    Format,
    Reading,
    Row,
    answered_in,
    asked_in,
    chat_in,
    ending_with_user,
    flag_in,
    only_answer,
    text_in,
)
from exante.formats.prompts import said_kind
from exante.judges.strings import refusal
from exante.records import Decision, Message, Response

_PROMPTS = ("prompt", "instruction", "question")
_ANSWERS = ("completion", "response", "output", "answer")


def read_beavertails(row: Row, where: str, how: Reading) -> Content:
    """BeaverTails (arXiv 2307.04657): one answer, safe or not, with categories of harm."""
    safe = flag_in(row, "is_safe", where)
    response = Response(
        text=text_in(row, "response", where),
        unsafe=None if safe is None else not safe,
        source="dataset",
    )
    found = _categories(row.get("category"), where)
    return Content(
        messages=asked_in(row, "prompt", where),
        responses=(response,),
        facts={"categories": found} if found else {},
    )


def read_unpaired(row: Row, where: str, how: Reading) -> Content:
    """TRL's unpaired preference: one answer, wanted or not; so it is safe, or has a reward."""
    wanted = flag_in(row, "label", where)
    text = answered_in(row, "completion", where)
    safety = how.prefers == "safer"
    response = Response(
        text=text,
        unsafe=not wanted if safety and wanted is not None else None,
        reward=None if safety or wanted is None else float(wanted),
        source="dataset",
    )
    return Content(messages=asked_in(row, "prompt", where), responses=(response,))


def read_stepwise(row: Row, where: str, how: Reading) -> Content:
    """TRL's stepwise supervision: steps of one answer; the reward is the share that is right."""
    steps, labels = row.get("completions"), row.get("labels")
    if not isinstance(steps, list) or not isinstance(labels, list) or len(steps) != len(labels):
        raise InputError(
            "no two lists of the same length",
            where=f"{where}: completions",
            fix="one text in completions, and one label in labels, for each step",
        )
    texts = [text_in({"completions": step}, "completions", where) for step in steps]
    right = [flag_in({"labels": label}, "labels", where) for label in labels]
    known = [float(label) for label in right if label is not None]
    response = Response(
        text="\n".join(texts),
        reward=sum(known) / len(known) if known and len(known) == len(right) else None,
        source="dataset",
    )
    return Content(
        messages=asked_in(row, "prompt", where),
        responses=(response,),
        facts={"steps": texts, "labels": right},
        misfits=("labels of single steps are kept as facts, which no stage reads",),
    )


def read_conversation(row: Row, where: str, how: Reading) -> Content:
    """A chat whose last turn is the assistant's: that turn is the answer."""
    where = f"{where}: messages"
    messages = chat_in(row.get("messages"), where)
    prompt, text = ending_with_user(messages[:-1], where), only_answer(messages[-1:], where)
    return Content(messages=prompt, responses=(Response(text=text, source="dataset"),))


def read_answer(row: Row, where: str, how: Reading) -> Content:
    """A prompt and its answer, under one of the usual pairs of names; `input` follows a prompt."""
    names = _names(row)
    if names is None:
        raise InputError(
            "no prompt with an answer",
            where=where,
            fix=f"columns here: {listed(row)}; --column prompt=... completion=...",
        )
    prompt, answer = names
    messages = asked_in(row, prompt, where)
    more = text_in(row, "input", where) if row.get("input") else ""
    if more:
        asked = Message(role="user", content=f"{messages[-1].content}\n\n{more}")
        messages = (*messages[:-1], asked)
    text = answered_in(row, answer, where)
    return Content(messages=messages, responses=(Response(text=text, source="dataset"),))


def read_star1(row: Row, where: str, how: Reading) -> Content:
    """STAR-1 (arXiv 2504.01903): free reasoning about policies in front of the answer.

    Our trace has three sections. All paragraphs but the last go into the first one, the last one
    into the third; the decision is read off the answer's phrases. There is no section of checks:
    the reasoning cites policies, but no clauses of a rule set.
    """
    parsed = traces.parse(text_in(row, "response", where))
    if not parsed.present or not (parsed.answer or "").strip():
        raise InputError(
            "no reasoning with an answer behind it",
            where=f"{where}: response",
            fix="begin with <think>, and put the answer behind </think>",
        )
    kind = said_kind(row, where) or how.kind or "harmful"
    answer = str(parsed.answer).strip()
    decision = _decision(answer, harmful=kind == "harmful")
    paragraphs = [part for part in parsed.trace_text.split("\n\n") if part.strip()]
    if not paragraphs:
        raise InputError(
            "the reasoning is empty",
            where=f"{where}: response",
            fix="write it between <think> and </think>, or leave the row out",
        )
    path = paragraphs.pop() if len(paragraphs) > 1 else ""
    trace = traces.Trace("\n".join(paragraphs), None, (), decision, path)
    facts = {"categories": row.get("category"), "scores": row.get("score")}
    return Content(
        messages=asked_in(row, "question", where),
        responses=(Response(text=f"{traces.render(trace)}{answer}", source="dataset"),),
        kind=kind,
        facts={name: value for name, value in facts.items() if value},
        misfits=(
            "traces have no verify section: their reasoning cites no clause",
            f"decision read off the answer: {decision}",
        ),
    )


def _decision(answer: str, *, harmful: bool) -> Decision:
    """To refuse, where phrases say so; else a harmful request was answered with something safe."""
    if refusal(answer) == "refused":
        return "refuse"
    return "redirect" if harmful else "comply"


def _names(row: Row) -> tuple[str, str] | None:
    """The columns of prompt and answer; an answer that is no text, or is an option, is none."""
    pairs = product(_PROMPTS, _ANSWERS)
    return next(((p, a) for p, a in pairs if p in row and isinstance(row.get(a), str | list)), None)


def _categories(value: Any, where: str) -> list[str]:
    """Names of the categories that hold, from flags by name or a list of names."""
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        return [str(name) for name in value if flag_in(value, name, f"{where}: category")]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return list(value)
    if isinstance(value, str):
        return [value]
    raise InputError(
        "neither flags by name nor names", where=f"{where}: category", fix='{"privacy": true}'
    )


def _reasons(row: Row) -> bool:
    response = row.get("response")
    return "question" in row and isinstance(response, str) and "</think>" in response


def _is_answered(row: Row) -> bool:
    turns = row.get("messages")
    last = turns[-1] if isinstance(turns, list) and turns else None
    return isinstance(last, dict) and last.get("role") == "assistant"


ANSWERS: tuple[Format, ...] = (
    Format(
        "star1",
        "STAR-1: question, response with <think> reasoning, category, score",
        ("question", "response", "category", "score"),
        _reasons,
        read_star1,
    ),
    Format(
        "beavertails",
        "BeaverTails: prompt, response, is_safe, category (flags by name)",
        ("prompt", "response", "is_safe", "category"),
        lambda row: {"prompt", "response", "is_safe"} <= set(row),
        read_beavertails,
    ),
    Format(
        "stepwise",
        "TRL stepwise supervision: prompt, completions, labels",
        ("prompt", "completions", "labels"),
        lambda row: {"prompt", "completions", "labels"} <= set(row),
        read_stepwise,
    ),
    Format(
        "unpaired",
        "TRL unpaired preference: prompt, completion, label (true or false)",
        ("prompt", "completion", "label"),
        lambda row: {"prompt", "completion", "label"} <= set(row),
        read_unpaired,
    ),
    Format(
        "conversation",
        "TRL language modelling: messages, the last one the assistant's",
        ("messages",),
        _is_answered,
        read_conversation,
    ),
    Format(
        "answer",
        "one answer to imitate: prompt or instruction (+ input) or question; completion, ...",
        (*_PROMPTS, "input", *_ANSWERS),
        lambda row: _names(row) is not None,
        read_answer,
    ),
)
"""The more particular first."""
