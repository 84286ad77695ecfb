"""Rows with two answers or more to one prompt, and which of them is preferred."""

from __future__ import annotations

import re
from os.path import commonprefix
from typing import Any

from exante.errors import InputError
from exante.formats.base import (
    Content,
    Format,
    Reading,
    Row,
    apart,
    asked_in,
    chat_in,
    flag_in,
    number_in,
    only_answer,
    place_in,
    text_in,
    unique_best,
)
from exante.records import Message, Response

_SCORES = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen-rating", "rejected-rating"),
)
_PKU_LABELS = (
    "is_response_0_safe",
    "is_response_1_safe",
    "better_response_id",
    "safer_response_id",
    "response_0_severity_level",
    "response_1_severity_level",
)
_SPEAKER = re.compile(r"(?:\A|\n\n)(Human|Assistant):")


def read_pku(row: Row, where: str, how: Reading) -> Content:
    """PKU-SafeRLHF (arXiv 2406.15513): two answers, safe or not, one better and one safer.

    The severity of harm (0 to 3, 0 is safe) is the cost.
    """
    responses = []
    for place in (0, 1):
        safe = flag_in(row, f"is_response_{place}_safe", where)
        responses.append(
            Response(
                text=text_in(row, f"response_{place}", where),
                unsafe=None if safe is None else not safe,
                cost=number_in(row, f"response_{place}_severity_level", where),
                source="dataset",
            )
        )
    return Content(
        messages=asked_in(row, "prompt", where),
        responses=tuple(responses),
        better=place_in(row, "better_response_id", where, 2),
        safer=place_in(row, "safer_response_id", where, 2),
    )


def read_pku_pairs(row: Row, where: str, how: Reading) -> Content:
    """A prompt and the list of its safe and its unsafe answer, in this order."""
    texts = row.get("response")
    if not isinstance(texts, list) or len(texts) != 2:
        raise InputError(
            "no list of two answers", where=f"{where}: response", fix="the safe one, the unsafe one"
        )
    safe, unsafe = (text_in({"response": text}, "response", where) for text in texts)
    return Content(
        messages=asked_in(row, "prompt", where),
        responses=(
            Response(text=safe, unsafe=False, source="dataset"),
            Response(text=unsafe, unsafe=True, source="dataset"),
        ),
        safer=0,
    )


def read_hh(row: Row, where: str, how: Reading) -> Content:
    """HH-RLHF (arXiv 2204.05862): two transcripts that differ in their last answer."""
    good = transcript(text_in(row, "chosen", where), f"{where}: chosen")
    bad = transcript(text_in(row, "rejected", where), f"{where}: rejected")
    return _ordered(*apart(good, bad, where), how)


def read_preference(row: Row, where: str, how: Reading) -> Content:
    """TRL's preference type: `chosen` and `rejected`, texts or chats, with or without `prompt`.

    Scores beside them, as in the binarised UltraFeedback, are rewards.
    """
    name = next((name for name in ("prompt", "instruction") if row.get(name)), None)
    rewards = _scores(row, where)
    if isinstance(row.get("chosen"), list):
        good = chat_in(row["chosen"], f"{where}: chosen")
        bad = chat_in(row.get("rejected"), f"{where}: rejected")
        if len(good) > 1 or len(bad) > 1 or name is None:
            return _ordered(*apart(good, bad, where), how, rewards)
        texts = only_answer(good, f"{where}: chosen"), only_answer(bad, f"{where}: rejected")
        return _ordered(asked_in(row, name, where), *texts, how, rewards)
    chosen, rejected = text_in(row, "chosen", where), text_in(row, "rejected", where)
    if name is not None:
        return _ordered(asked_in(row, name, where), chosen, rejected, how, rewards)
    shared = _shared(chosen, rejected)
    if not shared.strip():
        raise InputError(
            "there is no prompt, and the two answers do not begin with one",
            where=where,
            fix="map a column with --column prompt=COLUMN",
        )
    prompt = (Message(role="user", content=shared.strip()),)
    rest = chosen[len(shared) :].strip(), rejected[len(shared) :].strip()
    return _ordered(prompt, *rest, how, rewards)


def read_ultrafeedback(row: Row, where: str, how: Reading) -> Content:
    """UltraFeedback (arXiv 2310.01377): any number of answers, each with ratings.

    The reward is the mean rating over the aspects, and `overall_score` only where there is none: in
    the first edition, many answers with 10 there should have had 1.
    """
    completions = row.get("completions")
    if not isinstance(completions, list) or not all(isinstance(c, dict) for c in completions):
        raise InputError(
            "no list of objects",
            where=f"{where}: completions",
            fix='a list of {"response": "...", "annotations": {...}}',
        )
    responses = tuple(
        Response(
            text=text_in(one, "response", f"{where}: completions.{place}"),
            reward=_rating(one, f"{where}: completions.{place}"),
            source=str(one.get("model") or "dataset"),
        )
        for place, one in enumerate(completions)
    )
    return Content(
        messages=asked_in(row, "instruction", where),
        responses=responses,
        better=unique_best([response.reward for response in responses]),
    )


def transcript(text: str, where: str) -> tuple[Message, ...]:
    """Turns of a text in which `Human:` and `Assistant:` begin paragraphs.

    Raises:
        InputError: it does not begin with a turn.
    """
    head, *rest = _SPEAKER.split(text)
    if head.strip() or not rest:
        raise InputError(
            "no transcript", where=where, fix="begin turns with `Human:` and `Assistant:`"
        )
    return tuple(
        Message(role="user" if who == "Human" else "assistant", content=said.strip())
        for who, said in zip(rest[::2], rest[1::2], strict=True)
    )


def is_transcript(value: Any) -> bool:
    """Does the text begin like one of HH-RLHF's?"""
    return isinstance(value, str) and value.lstrip().startswith("Human:")


def _ordered(
    messages: tuple[Message, ...],
    chosen: str,
    rejected: str,
    how: Reading,
    rewards: tuple[float | None, float | None] = (None, None),
) -> Content:
    texts = zip((chosen, rejected), rewards, strict=True)
    return Content(
        messages=messages,
        responses=tuple(Response(text=t, reward=r, source="dataset") for t, r in texts),
        better=0 if how.prefers == "better" else None,
        safer=0 if how.prefers == "safer" else None,
    )


def _scores(row: Row, where: str) -> tuple[float | None, float | None]:
    for good, bad in _SCORES:
        if good in row or bad in row:
            return number_in(row, good, where), number_in(row, bad, where)
    return None, None


def _shared(chosen: str, rejected: str) -> str:
    """The beginning of both, up to a space, so that no word is cut."""
    same = commonprefix([chosen, rejected])
    return same[: max(same.rfind(" "), same.rfind("\n")) + 1]


def _are_texts(value: Any) -> bool:
    """A list, and not one of the turns of a chat."""
    return isinstance(value, list) and not any(isinstance(one, dict) for one in value)


def _rating(one: Row, where: str) -> float | None:
    aspects = one.get("annotations")
    told = aspects.values() if isinstance(aspects, dict) else ()
    ratings = [
        number_in(aspect, "Rating", where)
        for aspect in told
        if isinstance(aspect, dict) and aspect.get("Rating") not in (None, "N/A")
    ]
    known = [rating for rating in ratings if rating is not None]
    if known:
        return sum(known) / len(known)
    average = number_in(one, "fine-grained_score", where)
    return number_in(one, "overall_score", where) if average is None else average


PAIRS: tuple[Format, ...] = (
    Format(
        "pku",
        "PKU-SafeRLHF: prompt, response_0, response_1 and labels of both",
        ("prompt", "response_0", "response_1", *_PKU_LABELS),
        lambda row: {"prompt", "response_0", "response_1"} <= set(row),
        read_pku,
    ),
    Format(
        "pku_pairs",
        "prompt, response: a list of the safe and the unsafe answer",
        ("prompt", "response"),
        lambda row: "prompt" in row and _are_texts(row.get("response")),
        read_pku_pairs,
    ),
    Format(
        "ultrafeedback",
        "UltraFeedback: instruction, completions with ratings",
        ("instruction", "completions"),
        lambda row: {"instruction", "completions"} <= set(row),
        read_ultrafeedback,
    ),
    Format(
        "hh",
        "HH-RLHF: chosen and rejected, transcripts of Human and Assistant",
        ("chosen", "rejected"),
        lambda row: is_transcript(row.get("chosen")) and is_transcript(row.get("rejected")),
        read_hh,
    ),
    Format(
        "preference",
        "TRL preference: chosen, rejected, and prompt or not; texts or chats; scores",
        ("prompt", "instruction", "chosen", "rejected", *(n for pair in _SCORES for n in pair)),
        lambda row: {"chosen", "rejected"} <= set(row),
        read_preference,
    ),
)
"""The more particular first."""
