"""Trainings on a tiny model: they learn, stop on nonsense, and continue as if never interrupted."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.models.test_hostile import Trap
from tests.tiny import tiny_model
from transformers import LlamaForCausalLM

from exante.errors import InputError, RunError
from exante.models.chat import Chat
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.score import score
from exante.objectives.pairs import ScoredPairs
from exante.records import Message, Pair
from exante.training import (
    PairLoss,
    TokenRow,
    TrainSettings,
    TrainSummary,
    fit_pairs,
    fit_tokens,
)

SETTINGS = TrainSettings(
    learning_rate=3e-3, epochs=2, batch_size=4, checkpoint_steps=3, precision="float32"
)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("fit"), seed=5)


def prompt(chat: Chat, number: int) -> tuple[int, ...]:
    return chat.prompt_ids([Message(role="user", content=f"How do I do {number}?")])


def rows(chat: Chat, count: int = 22) -> list[TokenRow]:
    return [
        TokenRow(
            f"row{i}", prompt(chat, i), chat.turn("I cannot help with that." + " No." * (i % 5))
        )
        for i in range(count)
    ]


def pairs(chat: Chat, count: int = 18) -> list[Pair]:
    return [
        Pair(
            example_id=f"pair{i}",
            prompt_ids=prompt(chat, i),
            chosen_ids=chat.turn("No." + " I cannot." * (i % 3)),
            rejected_ids=chat.turn("How do I do this?"),
            kind="safety" if i % 2 else "efficiency",
            why="test",
            margin=0.1 * (i % 2),
        )
        for i in range(count)
    ]


class Killed(Exception):  # noqa: N818 (no error of the code under test)
    """Stands for a kill in the middle of a training."""


def killer(at: int) -> Any:
    def on_step(step: int, steps: int, loss: float) -> None:
        if step == at:
            raise Killed

    return on_step


@pytest.fixture(scope="module")
def whole(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainSummary]:
    """A training that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    return out, fit_tokens(rows(load_chat(policy)), policy=policy, out=out, settings=SETTINGS)


@pytest.fixture(scope="module")
def stopped(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same one, killed at its fourth step; to be copied."""
    out = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Killed):
        fit_tokens(
            rows(load_chat(policy)), policy=policy, out=out, settings=SETTINGS, on_step=killer(4)
        )
    return out


def test_rows_are_learned(policy: Path, whole: tuple[Path, TrainSummary]) -> None:
    (out, summary), given = whole, rows(load_chat(policy))
    assert summary.items == 22
    assert summary.steps == 12
    assert summary.tokens == sum(row.length - 1 for row in given)
    before, after = load_model(policy), load_model(out / "model")
    asked = [(row.prompt_ids, row.response_ids) for row in given]
    gained = sum(score(after, asked, pad_id=1)) - sum(score(before, asked, pad_id=1))
    assert gained > 100
    logged = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in logged] == [3, 6, 9, 10, 12]


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"]
)
def test_a_pickle_in_a_checkpoint_is_not_run(
    policy: Path, stopped: Path, tmp_path: Path, name: str
) -> None:
    given, mark = rows(load_chat(policy)), tmp_path / "ran"
    out = shutil.copytree(stopped, tmp_path / "killed")
    state = out / "checkpoints" / "checkpoint-3" / name
    assert state.is_file()
    state.write_bytes(pickle.dumps(Trap(mark), protocol=2))
    if name == "training_args.bin":  # Nobody reads it.
        fit_tokens(given, policy=policy, out=out, settings=SETTINGS)
    else:
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            fit_tokens(given, policy=policy, out=out, settings=SETTINGS)
    assert not mark.exists()


@pytest.mark.parametrize("kill_at", [2, 4, 8])
def test_a_killed_training_continues_to_the_same_weights(
    policy: Path, whole: tuple[Path, TrainSummary], tmp_path: Path, kill_at: int
) -> None:
    given, out = rows(load_chat(policy)), tmp_path / "killed"
    with pytest.raises(Killed):
        fit_tokens(given, policy=policy, out=out, settings=SETTINGS, on_step=killer(kill_at))
    steps: list[int] = []
    fit_tokens(
        given, policy=policy, out=out, settings=SETTINGS, on_step=lambda s, *_: steps.append(s)
    )
    assert steps[0] == (kill_at // 3) * 3 + 1
    assert (out / "log.jsonl").read_text() == (whole[0] / "log.jsonl").read_text()
    assert weights_fingerprint(out / "model") == weights_fingerprint(whole[0] / "model")


def test_a_torn_checkpoint_is_passed_over(
    policy: Path, whole: tuple[Path, TrainSummary], tmp_path: Path
) -> None:
    given, out = rows(load_chat(policy)), tmp_path / "killed"
    with pytest.raises(Killed):
        fit_tokens(given, policy=policy, out=out, settings=SETTINGS, on_step=killer(8))
    (out / "checkpoints/checkpoint-6/optimizer.pt").unlink()
    fit_tokens(given, policy=policy, out=out, settings=SETTINGS)
    assert weights_fingerprint(out / "model") == weights_fingerprint(whole[0] / "model")


def test_pairs_widen_the_gap(policy: Path, tmp_path: Path) -> None:
    chat = load_chat(policy)
    given = pairs(chat)
    summary = fit_pairs(
        given,
        policy=policy,
        reference=policy,
        out=tmp_path,
        settings=SETTINGS,
        loss=PairLoss(anchor=0.5),
    )
    assert summary.items == 18
    after = load_model(tmp_path / "model")
    chosen = score(after, [(p.prompt_ids, p.chosen_ids) for p in given], pad_id=1)
    rejected = score(after, [(p.prompt_ids, p.rejected_ids) for p in given], pad_id=1)
    before = load_model(policy)
    chosen_0 = score(before, [(p.prompt_ids, p.chosen_ids) for p in given], pad_id=1)
    rejected_0 = score(before, [(p.prompt_ids, p.rejected_ids) for p in given], pad_id=1)
    gaps = [
        (a - b) - (c - d) for a, b, c, d in zip(chosen, chosen_0, rejected, rejected_0, strict=True)
    ]
    assert min(gaps) > 1
    logged = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert {"safety/gap", "efficiency/gap", "safety/chosen_ratio", "preference"} <= logged.keys()


def test_a_killed_preference_training_keeps_its_reference_scores(
    policy: Path, tmp_path: Path
) -> None:
    given, whole, out = pairs(load_chat(policy)), tmp_path / "whole", tmp_path / "killed"
    options: dict[str, Any] = {
        "policy": policy,
        "reference": policy,
        "settings": SETTINGS,
        "loss": PairLoss(),
    }
    fit_pairs(given, out=whole, **options)
    with pytest.raises(Killed):
        fit_pairs(given, out=out, **options, on_step=killer(5))
    scored = (out / "scored.jsonl").stat().st_mtime_ns
    fit_pairs(given, out=out, **options)
    assert (out / "scored.jsonl").stat().st_mtime_ns == scored
    assert weights_fingerprint(out / "model") == weights_fingerprint(whole / "model")


def test_reference_scores_of_other_weights_are_made_anew(policy: Path, tmp_path: Path) -> None:
    given = pairs(load_chat(policy), 4)
    other = tiny_model(tmp_path / "other", seed=6)
    options: dict[str, Any] = {"policy": policy, "settings": SETTINGS, "loss": PairLoss()}
    fit_pairs(given, reference=other, out=tmp_path / "run", **options)
    first = (tmp_path / "run/scored.jsonl").read_text()
    fit_pairs(given, reference=policy, out=tmp_path / "run", **options)
    assert (tmp_path / "run/scored.jsonl").read_text() != first


def test_wrong_reference_scores_stop_before_the_first_step(policy: Path, tmp_path: Path) -> None:
    given = pairs(load_chat(policy), 4)
    options: dict[str, Any] = {
        "policy": policy,
        "reference": policy,
        "settings": SETTINGS,
        "loss": PairLoss(beta=1.0),
        "out": tmp_path,
    }
    fit_pairs(given, **options)
    path = tmp_path / "scored.jsonl"
    spoiled = [
        Pair.model_validate_json(line).model_copy(update={"chosen_reference": -1.0})
        for line in path.read_text().splitlines()
    ]
    path.write_text("".join(p.model_dump_json() + "\n" for p in spoiled))
    with pytest.raises(RunError, match="closed form"):
        fit_pairs(given, **options)


def test_a_loss_that_is_not_finite_stops_and_names_its_rows(policy: Path, tmp_path: Path) -> None:
    given = rows(load_chat(policy), 4)
    bad = [TokenRow(r.example_id, r.prompt_ids, r.response_ids, weight=math.inf) for r in given]
    with pytest.raises(RunError, match="row0"):
        fit_tokens(bad, policy=policy, out=tmp_path, settings=SETTINGS)
    assert not (tmp_path / "model").exists()


def test_the_step_of_a_loss_that_is_not_finite_is_one_of_the_optimiser(
    policy: Path, tmp_path: Path
) -> None:
    given = rows(load_chat(policy))
    bad = [TokenRow(r.example_id, r.prompt_ids, r.response_ids, weight=math.inf) for r in given]
    settings = SETTINGS.model_copy(update={"accumulation": 2})
    with pytest.raises(RunError, match="at step 0"):
        fit_tokens(bad, policy=policy, out=tmp_path, settings=settings)


def test_a_compiler_or_an_attention_that_is_not_there_is_said_before_the_training(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = rows(load_chat(policy), 4)
    monkeypatch.setattr("exante.training.run.compiler_works", lambda device: False)
    settings = SETTINGS.model_copy(update={"compile": "on"})
    with pytest.raises(InputError, match="train.compile: there is no compiler"):
        fit_tokens(given, policy=policy, out=tmp_path, settings=settings)
    monkeypatch.setattr(LlamaForCausalLM, "_supports_sdpa", False)
    settings = SETTINGS.model_copy(update={"attention": "sdpa"})
    with pytest.raises(InputError, match="train.attention: sdpa does not work with Llama"):
        fit_tokens(given, policy=policy, out=tmp_path, settings=settings)


def test_rows_longer_than_the_model_reads_are_refused(policy: Path, tmp_path: Path) -> None:
    long = TokenRow("long", (5,) * 3000, (6, 1))
    with pytest.raises(InputError, match="2048 tokens"):
        fit_tokens([long], policy=policy, out=tmp_path, settings=SETTINGS)


def test_training_starts_from_the_policy_and_leaves_it_alone(policy: Path, tmp_path: Path) -> None:
    before = weights_fingerprint(policy)
    slow = SETTINGS.model_copy(update={"learning_rate": 1e-9})
    fit_tokens(rows(load_chat(policy)), policy=policy, out=tmp_path, settings=slow)
    assert weights_fingerprint(policy) == before
    old, new = load_model(policy), load_model(tmp_path / "model")
    for a, b in zip(old.parameters(), new.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_chosen_responses_that_are_pushed_down_are_told(policy: Path, tmp_path: Path) -> None:
    """Sides that share nearly all tokens: pushing one down takes the other along."""
    chat = load_chat(policy)
    long = "I cannot help with that, I cannot. " * 3
    given = [
        pair.model_copy(
            update={"chosen_ids": chat.turn(long + "No."), "rejected_ids": chat.turn(long + "How?")}
        )
        for pair in pairs(chat)
    ]
    options: dict[str, Any] = {"policy": policy, "reference": policy, "settings": SETTINGS}
    down = PairLoss(name="tests.training.test_fit:push_both_down", anchor=0.0)
    summary = fit_pairs(given, out=tmp_path / "down", loss=down, **options)
    assert summary.displaced is not None
    assert summary.displaced < -0.1
    kept = fit_pairs(given, out=tmp_path / "kept", loss=PairLoss(anchor=1.0), **options)
    assert kept.displaced is None


def test_a_loss_without_reference_scores_none(policy: Path, tmp_path: Path) -> None:
    summary = fit_pairs(
        pairs(load_chat(policy)),
        policy=policy,
        reference=tmp_path / "not even there",
        out=tmp_path / "run",
        settings=SETTINGS.model_copy(update={"epochs": 4}),
        loss=PairLoss(anchor=0.0, beta=2.0, margin=0.5, per_token=True, reference_free=True),
    )
    assert summary.reference == ""
    assert summary.displaced is None
    assert not (tmp_path / "run/scored.jsonl").exists()
    assert summary.last_loss < summary.first_loss


@pytest.mark.parametrize(
    "loss",
    [
        PairLoss(tail=0.3, focus=1.0),
        PairLoss(name="square", beta=0.003),  # targets of some 30 nats, losses of some 1000
        PairLoss(name="ipo", per_token=True),
    ],
)
def test_the_first_loss_is_held_against_the_closed_form_of_each(
    policy: Path, tmp_path: Path, loss: PairLoss
) -> None:
    given = pairs(load_chat(policy), 6)
    options: dict[str, Any] = {
        "policy": policy,
        "reference": policy,
        "settings": SETTINGS.model_copy(update={"epochs": 1}),
        "loss": loss,
        "out": tmp_path,
    }
    fit_pairs(given, **options)
    path = tmp_path / "scored.jsonl"
    spoiled = [
        scored.model_copy(
            update={
                "chosen_reference": (scored.chosen_reference or 0.0) - 25.0,
                "chosen_front": (scored.chosen_front or 0.0) - 25.0,
            }
        )
        for line in path.read_text().splitlines()
        for scored in [Pair.model_validate_json(line)]
    ]
    path.write_text("".join(p.model_dump_json() + "\n" for p in spoiled))
    with pytest.raises(RunError, match="closed form"):
        fit_pairs(given, **options)


def push_both_down(scored: ScoredPairs, *, beta: float) -> torch.Tensor:
    """An objective that nobody wants; at the reference it is 0."""
    return beta * (scored.chosen - scored.ref_chosen + scored.rejected - scored.ref_rejected)
