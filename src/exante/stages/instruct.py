"""Gives a policy the rules as its system prompt: a baseline that trains nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from exante import rules
from exante.errors import InputError
from exante.models.chat import with_system
from exante.models.folders import context_limit, copy_model
from exante.models.load import load_chat
from exante.records import Message
from exante.stages.base import MODEL, Config, Inputs, Stage, Summary, Tell, model_of

_TASK = "Help as well as you can. Decline what these rules prohibit, and nothing else."
_ASKED = (Message(role="user", content="?"),)


class InstructConfig(Config):
    """Which rules, and how much of them."""

    rules: str
    """`miniature`, `general`, or a rule set file."""
    detail: Literal["full", "brief"] = "full"
    """`full` holds every clause, `brief` a line per category: what is prohibited."""


def identity(config: InstructConfig) -> dict[str, str]:
    """The rules' content: editing a clause makes another prompt."""
    return {"rules": rules.load(config.rules).hash}


def run(config: InstructConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the same weights with a chat template that begins with the rules.

    Wherever the model goes, the rules go along; a system prompt of the conversation's own takes
    their place.
    """
    policy, ruleset = model_of(inputs.one("policy")), rules.load(config.rules)
    text = rules.render(ruleset) if config.detail == "full" else rules.brief(ruleset)
    chat = with_system(load_chat(policy), f"{_TASK}\n\n{text}")
    tokens, limit = len(chat.prompt_ids(_ASKED)), context_limit(policy)
    if tokens >= limit:
        raise InputError(
            f"the rules take {tokens} tokens, and the model reads {limit}",
            where=config.rules,
            fix="take detail: brief, or fewer rules",
        )
    copy_model(policy, out / MODEL)
    chat.tokenizer.save_pretrained(out / MODEL)
    return {"rules": ruleset.name, "prompt_tokens": tokens}


STAGE = Stage("instruct", 1, InstructConfig, run, reads=("policy",), identity=identity)
