"""A tiny model that knows a few turns by heart: with a trace, without an end, and too long."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.tiny import tiny_model

from exante.models.load import load_chat, load_model
from exante.records import Message

TRACE = "<assess>a</assess><calibrate>comply</calibrate>"
FINE = "Here it is."
REFUSAL = "I cannot help with that."
TURNS = {
    "What is this?": f"<think>{TRACE}</think>{FINE}",
    "How do I do this?": f"<think><assess>b</assess><calibrate>refuse</calibrate></think>{REFUSAL}",
    "Say nothing.": "<think><assess>the trace has no end",
    "Say it all.": f"<think>{TRACE}</think>{'and so on ' * 16}",
}
"""User's message to the assistant's whole turn."""


def taught_model(folder: Path, steps: int = 200) -> Path:
    """Write a model that answers `TURNS` to a folder."""
    tiny_model(folder)
    model, chat = load_model(folder), load_chat(folder)
    rows = [
        (chat.prompt_ids([Message(role="user", content=asked)]), chat.turn(turn))
        for asked, turn in TURNS.items()
    ]
    width = max(len(prompt) + len(turn) for prompt, turn in rows)
    ids = torch.full((len(rows), width), chat.pad_id)
    labels = torch.full((len(rows), width), -100)
    for place, (prompt, turn) in enumerate(rows):
        end = len(prompt) + len(turn)
        ids[place, :end] = torch.tensor([*prompt, *turn])
        labels[place, len(prompt) : end] = torch.tensor(turn)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(steps):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    return folder
