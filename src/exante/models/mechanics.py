"""What a chat template does around a turn, found by rendering a few chats with it.

Nothing is looked up by the name of a family: a template that was edited does what it does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError, TemplateRuntimeError

Turn = dict[str, str]

_RULE, _ASK, _SAID, _THOUGHT = (
    "be brief",
    "which day is it",
    "it is a Monday",
    "yesterday was Sunday",
)
_USER = {"role": "user", "content": _ASK}
_BOT = {"role": "assistant", "content": _SAID}
_DAY = {"%d %b %Y": "26 Jul 2024", "%Y-%m-%d": "2024-07-26", "%B %d, %Y": "July 26, 2024"}
"""One day in the forms that templates ask for; it is what Llama's takes where it has no clock. With
the clock's, a run that is continued tomorrow would read other prompts."""
_FIXED_DAY = (
    "{% macro strftime_now(form) %}{{ " + repr(_DAY) + ".get(form, '26 Jul 2024') }}{% endmacro %}"
)
GLUE = (
    "{% if messages[0]['role'] == 'system' and messages[1:] and messages[1]['role'] == 'user' %}"
    "{% set messages = [{'role': 'user', 'content': messages[0]['content'] + '\\n\\n' + "
    "messages[1]['content']}] + messages[2:] %}{% endif %}"
)
"""Puts a system message in front of the first user message, as Gemma 3's own template does."""


@dataclass(frozen=True, slots=True)
class Mechanics:
    """What a template does."""

    template: str
    """As it is rendered: with a fixed day, and with `GLUE` where it has no system role."""
    takes_system: bool
    """Has the template itself a place for a system message?"""
    lead: str
    """What stands between the start of the assistant's turn and its text: a channel, or the start
    itself where the template leaves it out of a prompt, or nothing."""
    opens: str
    """The think block that the template opens, or has opened and closed, before the turn."""
    end: str | None
    """The token that it puts behind the assistant's text; None if it puts none."""
    keeps_reasoning: bool
    """Does reasoning in an earlier turn of the assistant stay?"""
    dated: bool
    """Does it write the day of rendering?"""


def mechanics_of(tokenizer: Any, tag: str = "think") -> Mechanics:
    """Render some chats and compare; a template that refuses all of them does nothing."""
    own = str(tokenizer.get_chat_template())
    dated = "strftime_now" in own
    plain = (_FIXED_DAY if dated else "") + own
    system = {"role": "system", "content": _RULE}
    takes_system = _RULE in _rendered(tokenizer, plain, [system, _USER], start=True)
    template = plain if takes_system else (_FIXED_DAY if dated else "") + GLUE + own
    asked = _rendered(tokenizer, template, [_USER], start=True)
    opens = _opened(asked, tag)
    before, _, after = _rendered(tokenizer, template, [_USER, _BOT]).rpartition(_SAID)
    thought = {**_BOT, "content": f"<{tag}>{_THOUGHT}</{tag}>{_SAID}"}
    return Mechanics(
        template=template,
        takes_system=takes_system,
        lead=_lead(tokenizer, asked.removesuffix(opens), before, tag),
        opens=opens,
        end=_first_control(tokenizer, after),
        keeps_reasoning=_THOUGHT in _rendered(tokenizer, template, [_USER, thought, _USER]),
        dated=dated,
    )


def render(tokenizer: Any, template: str, turns: Sequence[Turn], *, start: bool = False) -> str:
    """The text of a chat; `start` begins a turn of the assistant.

    Raises:
        TemplateError: the template refuses the chat.
    """
    try:
        return str(
            tokenizer.apply_chat_template(
                list(turns), chat_template=template, tokenize=False, add_generation_prompt=start
            )
        )
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        # A template is a program of somebody's, and goes wrong like one.
        raise TemplateRuntimeError(f"{type(error).__name__}: {error}") from error


def _rendered(tokenizer: Any, template: str, turns: Sequence[Turn], *, start: bool = False) -> str:
    try:
        return render(tokenizer, template, turns, start=start)
    except TemplateError:
        return ""


def _opened(asked: str, tag: str) -> str:
    """A think block at the end of a prompt, open or empty, with the white space behind it."""
    found = re.search(rf"(<{tag}>\s*)?</{tag}>\s*\Z|<{tag}>\s*\Z", asked)
    return found.group() if found else ""


def _lead(tokenizer: Any, asked: str, before: str, tag: str) -> str:
    """Control tokens, and what they enclose, that stand before a text and not yet in a prompt."""
    if not asked or not before.startswith(asked):
        return ""
    lead = re.sub(rf"(<{tag}>\s*)?</{tag}>\s*", "", before.removeprefix(asked))
    return lead if _first_control(tokenizer, lead) else ""


def _first_control(tokenizer: Any, text: str) -> str | None:
    """The first added token in a text."""
    known = set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab())
    found = tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])
    return next((token for token in found if token in known), None)
