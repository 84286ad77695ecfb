"""SafePatching on a tiny model: what is merged, and that nothing harmful is ever written."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.tiny import tiny_model
from tests.turns import HARM, asked

from exante.models.load import load_chat, load_model
from exante.models.patches import top
from exante.models.score import score
from exante.models.weights import put_weights, weights_of
from exante.training import PatchSettings, TokenLoss, TokenRow, TrainSettings, fit_patches, patching
from exante.training.fit import fit_weights

SETTINGS = TrainSettings(learning_rate=3e-3, epochs=4, batch_size=2, precision="float32")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("patching"), seed=11)


def rows(policy: Path) -> list[TokenRow]:
    chat = load_chat(policy)
    return [TokenRow(key, chat.prompt_ids(asked(key).messages), chat.turn(HARM)) for key in "abcd"]


def likelihood(model: Any, given: list[TokenRow]) -> float:
    return sum(score(model, [(r.prompt_ids, r.response_ids) for r in given], pad_id=1))


def test_unlearning_lowers_harm_and_stops_at_the_ceiling(policy: Path, tmp_path: Path) -> None:
    given = rows(policy)
    unlearn = [replace(row, weight=-1.0) for row in given]
    found = {}
    for ceiling in (6.0, 100.0):
        loss, out = TokenLoss(ceiling=ceiling), tmp_path / str(ceiling)
        weights, summary = fit_weights(
            unlearn, policy=policy, out=out, settings=SETTINGS, loss=loss
        )
        model = load_model(policy)
        put_weights(model, weights)
        found[ceiling] = likelihood(model, given)
        assert summary.steps == 8
    assert found[100.0] < found[6.0] < likelihood(load_model(policy), given)


def test_weights_that_are_handed_back_are_not_written(policy: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"checkpoint_steps": 1})
    weights, _ = fit_weights(rows(policy), policy=policy, out=tmp_path / "out", settings=settings)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["log.jsonl"]
    assert not torch.equal(
        weights["model.norm.weight"], weights_of(load_model(policy))["model.norm.weight"]
    )


def test_each_entry_changes_by_the_patches_that_may_touch_it(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = patching.difference_set

    def watched(like: Any, scores: Any, settings: PatchSettings) -> Any:
        masks = real(like, scores, settings)
        seen.extend((scores, masks))
        return masks

    monkeypatch.setattr(patching, "difference_set", watched)
    made: list[dict[str, torch.Tensor]] = []

    def kept(*arguments: Any, **options: Any) -> Any:
        weights, summary = fit_weights(*arguments, **options)
        made.append(weights)
        return weights, summary

    monkeypatch.setattr(patching, "fit_weights", kept)
    settings = PatchSettings(
        retained=0.4, top_safety=0.1, top_openness=0.2, safety=1.0, openness=0.5, seed=3
    )
    summary = fit_patches(
        rows(policy),
        policy=policy,
        out=tmp_path / "out",
        settings=SETTINGS,
        patching=settings,
        loss=TokenLoss(),
    )
    scores, masks = seen
    before, after = (weights_of(load_model(p)) for p in (policy, tmp_path / "out/model"))
    for name, value in before.items():
        first = (made[0][name] - value) * masks[0][name]
        second = (made[1][name] - value) * masks[1][name]
        assert torch.allclose(after[name], value + first + 0.5 * second, atol=1e-6), name
        for mask, score_, share in ((masks[0], scores[1], 0.2), (masks[1], scores[0], 0.1)):
            assert not (mask[name] & top({name: score_[name]}, share)[name]).any()
    # The scores of two different models: the same tops would leave no important entry at all.
    assert any(not torch.equal(scores[0][n], scores[1][n]) for n in before)
    assert summary["ascent"]["steps"] == summary["descent"]["steps"] == 8
    assert all(0.3 < share < 0.6 for share in summary["patched"])


def test_nothing_but_the_patched_model_is_ever_written(policy: Path, tmp_path: Path) -> None:
    """The disk is looked at before every step, when a checkpoint of the last one would be there."""
    seen: list[str] = []

    def look(step: int, steps: int, loss: float) -> None:
        seen.extend(path.name for path in tmp_path.rglob("*") if path.is_file())

    fit_patches(
        rows(policy),
        policy=policy,
        out=tmp_path / "out",
        settings=SETTINGS.model_copy(update={"checkpoint_steps": 1}),
        patching=PatchSettings(),
        loss=TokenLoss(),
        on_step=look,
    )
    assert set(seen) == {"log.jsonl"}
    shutil.rmtree(tmp_path / "out/model")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_patch_that_leaves_nothing_to_chance_is_refused() -> None:
    with pytest.raises(ValidationError, match="smaller than retained"):
        PatchSettings(retained=0.1, top_safety=0.2)
