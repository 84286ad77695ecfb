"""Local speakers against the sampler's own turns; names to speakers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.tiny import tiny_model

from exante.errors import InputError, RunError
from exante.models.endpoint import EndpointSpeaker
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.speaker import LocalSpeaker, load_speaker, speaker_fingerprint
from exante.records import Message

TALKS = [
    (Message(role="user", content="How do I do this?"),),
    (Message(role="user", content="No."),),
    (
        Message(role="user", content="How?"),
        Message(role="assistant", content="I cannot help."),
        Message(role="user", content="Why?"),
    ),
]


def test_replies_are_greedy_and_in_order(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "talker", seed=3)
    model, chat = load_model(folder), load_chat(folder)
    speaker = load_speaker(str(folder), max_new_tokens=8)
    expected = []
    for messages in TALKS:
        ids = list(chat.prompt_ids(messages))
        turn: list[int] = []
        while len(turn) < 8 and (not turn or turn[-1] != chat.eos_id):
            with torch.inference_mode():
                turn.append(int(model(input_ids=torch.tensor([ids + turn])).logits[0, -1].argmax()))
        expected.append(chat.decode(turn))
    assert speaker.reply(TALKS) == expected
    assert speaker.reply(TALKS[::-1]) == expected[::-1]
    assert speaker.reply([]) == []
    assert len(set(expected)) > 1


def test_a_conversation_that_does_not_fit_is_said(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    speaker = LocalSpeaker(load_model(folder), load_chat(folder), "tiny", max_new_tokens=2000)
    with pytest.raises(RunError, match=r"tiny: a conversation of \d+ tokens"):
        speaker.reply([(Message(role="user", content="word " * 90),)])


def test_names_lead_to_speakers_and_fingerprints(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "talker")
    fingerprint = weights_fingerprint(folder)
    assert load_speaker(str(folder)).name == f"talker@{fingerprint[:8]}"
    assert speaker_fingerprint(str(folder)) == fingerprint
    served = "http://127.0.0.1:9/v1#some/model"
    assert isinstance(load_speaker(served), EndpointSpeaker)
    assert load_speaker(served).name == speaker_fingerprint(served) == served
    with pytest.raises(InputError, match="needs the name of a model"):
        load_speaker("http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match="no such model folder"):
        load_speaker("./nowhere")
