"""A dialogue in the terminal, with the reasoning shown dimmed or hidden."""

from __future__ import annotations

import random
from typing import Any

from exante import traces
from exante.cli.terminal import Screen, words
from exante.errors import InputError
from exante.miniature.prompts import examples
from exante.models.chat import Chat
from exante.models.folders import MINIATURE, resolve
from exante.models.load import context_length, load_chat, load_model
from exante.models.sample import Request, SamplingSettings, sample
from exante.records import Message
from exante.stages.runs import model_folder, trace_of

_SETTINGS = SamplingSettings(max_new_tokens=256)


def talk(model: str, *, prompt: str | None, hide_reasoning: bool, free: bool) -> None:
    """Answer one prompt, or hold a dialogue until an empty line.

    Raises:
        InputError: there is no such model.
    """
    folder = model_folder(model)
    loaded, chat = load_model(folder), load_chat(folder)
    console = Screen()
    opened = chat.beginning("free" if free else trace_of(str(folder)))
    history: list[Message] = []
    while True:
        try:
            text = prompt if prompt is not None else console.input(words("you ", "bold")).strip()
        except EOFError:
            console.print()  # what comes next begins on a line of its own
            return
        if not text:
            return
        history.append(Message(role="user", content=text))
        turn = _answer(loaded, chat, history, opened)
        parsed = traces.parse(turn, tag=chat.tag)
        if parsed.present and not hide_reasoning:
            console.print(words(parsed.trace_text, style="dim"))
        answer = parsed.answer if parsed.answer is not None else "(the reasoning did not end)"
        console.print(words(answer))
        history.append(Message(role="assistant", content=answer))
        if prompt is not None:
            return


def show_miniature(count: int, seed: int) -> None:
    """Print prompts of the embedded world and its base model's answers.

    Raises:
        InputError: there are not so many prompts.
    """
    known = examples(seed)["test"]
    if count > len(known):
        raise InputError(
            f"there are {len(known)} prompts", where=f"--count {count}", fix="ask for fewer"
        )
    folder = resolve(MINIATURE)
    loaded, chat, console = load_model(folder), load_chat(folder), Screen()
    for example in random.Random(seed).sample(known, count):
        console.print(words(f"[{example.kind}] {example.prompt}", style="bold"))
        console.print(words(_answer(loaded, chat, list(example.messages), "") + "\n"))


def _answer(model: Any, chat: Chat, history: list[Message], opened: str) -> str:
    prompt = chat.prompt_ids(history)
    limit = context_length(model)
    if len(prompt) + _SETTINGS.max_new_tokens > limit:
        raise InputError(
            f"the dialogue is longer than the {limit} tokens the model reads",
            fix="begin a new one, or ask something shorter",
        )
    request = Request("chat", prompt, chat.encode(opened) if opened else ())
    (turn,) = sample(model, chat, [request], _SETTINGS)
    return chat.decode(turn.token_ids)
