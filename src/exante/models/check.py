"""What will happen with a model, found out before anything is spent; its weights stay on the disk.

Problems are collected, not raised: a person wants to see all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from exante import traces
from exante.errors import InputError
from exante.models.cache import has_slots
from exante.models.chat import Chat
from exante.models.faults import UNFIT, first_line
from exante.models.folders import config_fields, config_of, require_weights, stops_of
from exante.models.footprint import Shape
from exante.models.forward import can_share
from exante.models.load import load_chat
from exante.models.lora_targets import linear_targets
from exante.models.shapes import empty_model, shape_of
from exante.models.small import small_like
from exante.records import Message, Record

_ASK = (Message(role="user", content="which day is it"),)
_RULE = (Message(role="system", content="be brief"), *_ASK)
_NOTHING = "nothing to do"
_MUCH_LARGER = 1.1
"""Embeddings over tokens, from which they hardly belong together: padding is a few hundred rows."""


class Problem(Record):
    """Something that a person should know or mend."""

    level: Literal["error", "warning"]
    """An error means that a run could not work."""
    text: str
    fix: str


class ChatReport(Record):
    """What the chat template does, and what the trace costs in it."""

    system: Literal["own role", "before the first question"]
    keeps_reasoning: bool
    """Of earlier turns."""
    opens: str
    lead: str
    turn_end: str
    stops: tuple[str, ...]
    bos: int
    """How many a prompt has."""
    bos_id: int | None
    pad: str
    eos: str | None
    """The tokenizer's eos_token, which is not always what ends a turn."""
    eos_id: int | None
    dated: bool
    tag: str
    opening: str
    """What the runtime writes at the start of a turn."""
    markup: dict[str, int]
    """Tokens of each word of the trace format."""
    tokens: int
    """Of the tokenizer."""


class WeightsReport(Record):
    """What the config tells of the network."""

    architecture: str
    parameters: int
    embeddings: int
    """Rows: more than the tokenizer has tokens, where they were padded."""
    dtype: str
    """On the disk."""
    max_length: int
    attention: dict[str, str]
    """Back-end by type of device."""
    shares_rows: bool | None
    """None where only the loaded model can tell."""
    lora_targets: tuple[str, ...]


class ModelCheck(Record):
    """All that was found; a part that could not be looked at is None."""

    folder: str
    weights: WeightsReport | None
    shape: Shape | None
    """Sizes that memory is estimated from."""
    chat: ChatReport | None
    problems: tuple[Problem, ...]

    @property
    def works(self) -> bool:
        """Could a run work?"""
        return not any(problem.level == "error" for problem in self.problems)


def check_model(folder: Path, *, complete: bool = True) -> ModelCheck:
    """Look at config, tokenizer, template and files of a model folder; nothing is raised.

    A folder that is not `complete` was downloaded without its weights.
    """
    found: list[Problem] = []
    weights = shape = chat = None
    try:
        if complete:
            require_weights(folder)
    except InputError as error:
        found.append(_error(error))
    try:
        weights, shape = _weights(folder, found)
    except InputError as error:
        found.append(_error(error))
    try:
        chat = _chat(folder, found)
    except InputError as error:
        found.append(_error(error))
    if weights and chat:
        found += _together(folder, weights, chat)
    unique = tuple(dict.fromkeys(found))
    return ModelCheck(folder=str(folder), weights=weights, shape=shape, chat=chat, problems=unique)


def _weights(folder: Path, problems: list[Problem]) -> tuple[WeightsReport, Shape]:
    """What config and empty model say."""
    config = config_of(folder)
    try:
        empty = empty_model(config)
    except UNFIT as error:
        raise InputError(
            f"the config makes no causal language model: {first_line(error)}",
            where=str(folder),
            fix="take a model that transformers knows; code that comes with a model is never run",
        ) from None
    if not has_slots(config):
        raise InputError(
            f"the layers of {type(empty).__name__} keep a state, so turns cannot be sampled",
            where=str(folder),
            fix="take a model with attention in every layer",
        )
    text, shape = config.get_text_config(), shape_of(empty)
    if getattr(config, "quantization_config", None):
        problems.append(
            _problem(
                "warning",
                "the weights are quantised",
                "train a full-precision copy, or adapters on it",
            )
        )
    small = small_like(config)
    shares = can_share(small) if small is not None else None
    if shares is False:
        problems.append(
            _problem(
                "warning",
                "prompts and responses cannot share rows: training reads each prompt anew",
                "nothing to do; it is slower, and right",
            )
        )
    report = WeightsReport(
        architecture=type(empty).__name__,
        parameters=shape.parameters,
        embeddings=shape.vocabulary,
        dtype=str(getattr(config, "dtype", None) or torch.float32).removeprefix("torch."),
        max_length=int(getattr(text, "max_position_embeddings", None) or 1 << 30),
        attention=_attention(empty),
        shares_rows=shares,
        lora_targets=tuple(linear_targets(empty)),
    )
    return report, shape


def _attention(model: Any) -> dict[str, str]:
    """As `choose_attention` will have it."""
    try:
        model.set_attn_implementation("sdpa")
    except ValueError:
        return {"cpu": "eager", "cuda": "eager"}
    return {"cpu": "eager up to 512 tokens, then sdpa", "cuda": "sdpa"}


def _chat(folder: Path, problems: list[Problem]) -> ChatReport:
    chat = load_chat(folder)
    tokenizer, mechanics = chat.tokenizer, chat.mechanics
    ids = chat.prompt_ids(_ASK)
    if _ASK[0].content not in chat.prompt_text(_ASK):
        raise InputError(
            "the chat template does not write what the user says",
            where=str(folder),
            fix="put the model's own chat_template.jinja beside it",
        )
    bos = tokenizer.bos_token_id
    for text, fix in (*_said_of_template(chat), *_said_of_ends(folder, chat, ids)):
        problems.append(_problem("warning", text, fix))
    return ChatReport(
        system="own role" if mechanics.takes_system else "before the first question",
        keeps_reasoning=mechanics.keeps_reasoning,
        opens=mechanics.opens,
        lead=mechanics.lead,
        turn_end=_text(chat, chat.eos_id),
        stops=tuple(_text(chat, i) for i in sorted(chat.stop_ids)),
        bos=0 if bos is None else ids.count(bos),
        bos_id=bos,
        pad=_text(chat, chat.pad_id),
        eos=tokenizer.eos_token,
        eos_id=tokenizer.eos_token_id,
        dated=mechanics.dated,
        tag=chat.tag,
        opening=chat.beginning("open"),
        markup={word: len(chat.encode(word)) for word in traces.markup(chat.tag)},
        tokens=len(tokenizer),
    )


def _said_of_template(chat: Chat) -> Iterator[tuple[str, str]]:
    """What a template does with prompts that a person may not expect, and what to do about it."""
    mechanics = chat.mechanics
    if not mechanics.takes_system:
        try:
            placed = _RULE[0].content in chat.prompt_text(_RULE)
        except InputError:
            placed = False
        yield (
            ("the template has no system role: rules go before the first question", _NOTHING)
            if placed
            else ("the template has no place for a system message", "use no rules in prompts")
        )
    if f"</{chat.tag}>" in mechanics.opens:
        yield (
            "the template closes an empty think block before a turn; ours is opened instead",
            "let other servers render without it (enable_thinking, or an edited template)",
        )
    if mechanics.lead:
        yield (
            f"turns are put behind {mechanics.lead!r}: trace and answer are plain text there",
            "let other servers render the same; what the model thinks elsewhere is not trained",
        )
    if mechanics.dated:
        yield "the template writes the day; here it is always 26 Jul 2024", _NOTHING


def _said_of_ends(folder: Path, chat: Chat, ids: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """The same for the tokens at both ends of a chat; `ids` are a prompt."""
    if chat.mechanics.end is None:
        yield "the template ends no turn; eos_token is put there", "check that this is meant"
    if chat.eos_id not in stops_of(folder):
        yield (
            f"{_text(chat, chat.eos_id)!r} ends a turn, and no config of the model says so: other "
            "tools generate past it",
            "nothing to do here; what is trained says so",
        )
    bos = chat.tokenizer.bos_token_id
    if bos is not None and bos in chat.tokenizer("a")["input_ids"] and bos not in ids:
        yield (
            f"the tokenizer puts {chat.tokenizer.bos_token!r} before plain text, the template does "
            "not: prompts have none",
            "check that this is meant; add {{ bos_token }} to the template if not",
        )


def _together(folder: Path, weights: WeightsReport, chat: ChatReport) -> list[Problem]:
    """What tokenizer and model say of each other."""
    found = []
    if weights.embeddings > _MUCH_LARGER * chat.tokens:
        found.append(
            f"{weights.embeddings} embeddings for {chat.tokens} tokens: the tokenizer may be of "
            "another model"
        )
    fields = config_fields(folder)
    for name, own in (("bos_token_id", chat.bos_id), ("eos_token_id", chat.eos_id)):
        said = fields.get(name)
        if said is not None and own not in (*(said if isinstance(said, list) else [said]), None):
            found.append(f"{name} is {said} in config.json, and {own} in the tokenizer")
    return [_problem("warning", text, "check that they belong together") for text in found]


def _text(chat: Chat, token: int) -> str:
    return str(chat.tokenizer.convert_ids_to_tokens(token))


def _problem(level: Literal["error", "warning"], text: str, fix: str) -> Problem:
    return Problem(level=level, text=text, fix=fix)


def _error(error: InputError) -> Problem:
    return _problem("error", error.problem, error.fix or "")
