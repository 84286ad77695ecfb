"""Reference log-probs: the sampler's where they hold, a forward pass where not, never a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.tiny import tiny_model

from exante.models.chat import Chat
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.sample import Request, SamplingSettings, sample
from exante.models.score import score
from exante.records import Message, Pair
from exante.training import PairLoss, TrainSettings, fit_pairs
from exante.training.reference import with_reference

SETTINGS = TrainSettings(epochs=2, batch_size=4, precision="float32")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("reference"), seed=8)


@pytest.fixture(scope="module")
def sampled(policy: Path) -> list[Pair]:
    """Pairs of turns that the policy sampled, with the sampler's own log-probs."""
    chat, model = load_chat(policy), load_model(policy)
    asked = [Request(f"r{i}", prompt(chat, i), chat.encode("No.")) for i in range(6)]
    settings = SamplingSettings(n=3, temperature=1.0, max_new_tokens=9)
    turns: dict[str, list[Any]] = {}
    for turn in sample(model, chat, asked, settings):
        turns.setdefault(turn.id, []).append(turn)
    return [
        Pair(
            example_id=request.id,
            prompt_ids=request.prompt_ids,
            chosen_ids=first.token_ids,
            rejected_ids=other.token_ids,
            kind="safety",
            why="test",
            chosen_reference=sum(first.logprobs),
            rejected_reference=sum(other.logprobs),
            scored_by=weights_fingerprint(policy),
        )
        for request in asked
        for first, *others in [turns[request.id]]
        for other in others
    ]


def prompt(chat: Chat, number: int) -> tuple[int, ...]:
    return chat.prompt_ids([Message(role="user", content=f"How do I do {number}?")])


def gaps(pairs: list[Pair]) -> list[float]:
    return [(p.chosen_reference or 0.0) - (p.rejected_reference or 0.0) for p in pairs]


def test_the_sampler_and_a_forward_pass_say_the_same(
    policy: Path, sampled: list[Pair], tmp_path: Path
) -> None:
    chat = load_chat(policy)
    taken, source = with_reference(sampled, policy, chat, tmp_path / "a", SETTINGS)
    assert source == "sampler"
    assert taken == sampled
    bare = [pair.model_copy(update={"scored_by": ""}) for pair in sampled]
    computed, source = with_reference(bare, policy, chat, tmp_path / "b", SETTINGS)
    assert source == "forward pass"
    assert gaps(computed) == pytest.approx(gaps(taken), abs=1e-3)


def test_log_probs_of_other_weights_are_not_taken(
    policy: Path, sampled: list[Pair], tmp_path: Path
) -> None:
    other = tiny_model(tmp_path / "other", seed=9)
    chat = load_chat(policy)
    scored, source = with_reference(sampled, other, chat, tmp_path / "run", SETTINGS)
    assert source == "forward pass"
    assert all(pair.scored_by == weights_fingerprint(other) for pair in scored)


def test_sampled_log_probs_that_do_not_hold_are_computed_anew(
    policy: Path, sampled: list[Pair], tmp_path: Path
) -> None:
    spoiled = [
        pair.model_copy(update={"chosen_reference": (pair.chosen_reference or 0.0) + 1.0})
        for pair in sampled
    ]
    scored, source = with_reference(spoiled, policy, load_chat(policy), tmp_path, SETTINGS)
    assert source == "forward pass"
    assert gaps(scored) == pytest.approx(gaps(sampled), abs=1e-3)


def test_caching_changes_no_number(policy: Path, sampled: list[Pair], tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "policy": policy,
        "reference": policy,
        "settings": SETTINGS,
        "loss": PairLoss(),
    }
    bare = [pair.model_copy(update={"scored_by": ""}) for pair in sampled]
    fit_pairs(bare, out=tmp_path, **options)
    cached = (tmp_path / "scored.jsonl").read_bytes()
    first = weights_fingerprint(tmp_path / "model")
    summary = fit_pairs(bare, out=tmp_path, **options)
    assert (tmp_path / "scored.jsonl").read_bytes() == cached
    assert weights_fingerprint(tmp_path / "model") == first
    assert summary.reference == "forward pass"


def test_fronts_are_those_of_the_shorter_length_and_come_from_a_forward_pass(
    policy: Path, sampled: list[Pair], tmp_path: Path
) -> None:
    long = [pair for pair in sampled if len(pair.chosen_ids) > 5 and len(pair.rejected_ids) > 5]
    cut = [pair.model_copy(update={"rejected_ids": pair.rejected_ids[:5]}) for pair in long]
    chat = load_chat(policy)
    scored, source = with_reference(cut, policy, chat, tmp_path, SETTINGS, fronts=True)
    assert source == "forward pass"
    model = load_model(policy)
    for pair in scored:
        assert pair.rejected_front == pytest.approx(pair.rejected_reference, abs=1e-4)
        rows = [(pair.prompt_ids, pair.chosen_ids[:5]), (pair.prompt_ids, pair.chosen_ids)]
        front, whole = score(model, rows, pad_id=1)
        assert pair.chosen_front == pytest.approx(front, abs=1e-4)
        assert pair.chosen_reference == pytest.approx(whole, abs=1e-4)
        assert front > whole + 1
    plain, _ = with_reference(cut, policy, chat, tmp_path, SETTINGS)
    assert all(pair.chosen_front is None for pair in plain), "taken from a try that asked for more"
