"""Features of answers are those of plain rows, and a cost model is what was saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import tiny_model

from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.cost import (
    HEAD,
    Head,
    answer_features,
    cost_fingerprint,
    load_cost_model,
    turn_row,
)
from exante.models.load import load_chat, load_model
from exante.records import Message

ANSWERS = ("No.", "I cannot help with that.", "", "How do I do this? I cannot help.", "No.")


def asked(number: int) -> tuple[Message, ...]:
    return (Message(role="user", content="How do I do this? " * number),)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("cost"), seed=2)


@pytest.fixture(scope="module")
def model(trunk: Path) -> Any:
    return load_model(trunk)


@pytest.fixture(scope="module")
def chat(trunk: Path) -> Chat:
    return load_chat(trunk)


def test_features_are_those_of_each_row_alone(model: Any, chat: Chat) -> None:
    rows = [turn_row(asked(n % 3 + 1), text, chat) for n, text in enumerate(ANSWERS)]
    found = answer_features(model, rows, pad_id=chat.pad_id, batch_tokens=60)
    for (prompt, answer), features in zip(rows, found, strict=True):
        with torch.inference_mode():
            states = model.get_decoder()(torch.tensor([[*prompt, *answer]])).last_hidden_state[0]
        own = states[len(prompt) :]
        assert answer[-1] == chat.eos_id
        assert torch.allclose(features[:32], own[-1], atol=1e-5)
        assert torch.allclose(features[32:], own.mean(0), atol=1e-5)


def test_a_saved_model_gives_the_same_costs(
    trunk: Path, model: Any, chat: Chat, tmp_path: Path
) -> None:
    head = Head(torch.arange(64.0) / 64, torch.tensor(-0.5))
    head.save(tmp_path)
    loaded = load_cost_model(trunk, tmp_path / HEAD)
    rows = [turn_row(asked(1), text, chat) for text in ANSWERS]
    expected = head.costs(answer_features(model, rows, pad_id=chat.pad_id))
    costs = loaded.costs([(asked(1), text) for text in ANSWERS])
    assert costs == pytest.approx(expected, abs=1e-5)
    assert costs[0] == costs[4] != costs[1]


def test_what_is_too_long_to_read_has_no_cost(trunk: Path, tmp_path: Path) -> None:
    Head(torch.ones(64), torch.tensor(0.0)).save(tmp_path)
    loaded = load_cost_model(trunk, tmp_path / HEAD)
    limit = int(loaded.model.config.max_position_embeddings)
    costs = loaded.costs([(asked(1), "No."), (asked(1), "No " * limit)])
    assert costs[0] is not None
    assert costs[1] is None
    assert loaded.costs([(asked(1), "No " * limit)]) == [None]


def test_the_fingerprint_covers_head_and_trunk(trunk: Path, tmp_path: Path) -> None:
    Head(torch.ones(64), torch.tensor(0.0)).save(tmp_path)
    before = cost_fingerprint(trunk, tmp_path / HEAD)
    other = tiny_model(tmp_path / "other", seed=9)
    assert cost_fingerprint(other, tmp_path / HEAD) != before
    Head(torch.zeros(64), torch.tensor(0.0)).save(tmp_path)
    assert cost_fingerprint(trunk, tmp_path / HEAD) != before


def test_a_folder_without_a_head_or_with_anothers_is_refused(trunk: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cost head"):
        load_cost_model(trunk, tmp_path / HEAD)
    (tmp_path / HEAD).write_text(json.dumps({}))
    with pytest.raises(InputError, match="no cost head"):
        load_cost_model(trunk, tmp_path / HEAD)
    Head(torch.ones(10), torch.tensor(0.0)).save(tmp_path)
    with pytest.raises(InputError, match="another model"):
        load_cost_model(trunk, tmp_path / HEAD)
