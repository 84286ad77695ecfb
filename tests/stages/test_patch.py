"""A policy is patched from its own harm, and merged with another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.tiny import tiny_model
from tests.turns import HELP, harm, judged_folder, model_folder, quiet, turn

from exante.errors import InputError
from exante.models.load import load_chat, load_model
from exante.models.weights import weights_of
from exante.stages.base import Inputs
from exante.stages.merge import STAGE as MERGE
from exante.stages.merge import MergeConfig
from exante.stages.patch import STAGE, PatchConfig
from exante.training import TrainSettings

TRAIN = TrainSettings(learning_rate=1e-3, epochs=1, batch_size=2, precision="float32")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("patch"), seed=14)


def test_only_harm_makes_patches(policy: Path, tmp_path: Path) -> None:
    chat = load_chat(policy)
    turns = [turn(chat, "a", HELP), harm(chat, "a"), harm(chat, "b"), harm(chat, "c")]
    place = judged_folder(tmp_path / "judged", turns, policy)
    base = model_folder(tmp_path / "base", policy)
    (out := tmp_path / "out").mkdir()
    inputs = Inputs({"policy": {"base": base}, "judged": {"judged": place}})
    summary = STAGE.run(PatchConfig(train=TRAIN), inputs, out, quiet)
    assert summary["ascent"]["items"] == summary["descent"]["items"] == 3
    before, after = weights_of(load_model(policy)), weights_of(load_model(out / "model"))
    changed = torch.cat([(before[n] != after[n]).flatten() for n in before]).float().mean()
    assert 0.2 < changed.item() < 0.7


def test_without_harm_there_is_nothing_to_patch(policy: Path, tmp_path: Path) -> None:
    place = judged_folder(tmp_path / "judged", [turn(load_chat(policy), "a", HELP)], policy)
    base = model_folder(tmp_path / "base", policy)
    with pytest.raises(InputError, match="no finished turn does harm"):
        STAGE.run(
            PatchConfig(), Inputs({"policy": {"b": base}, "judged": {"j": place}}), tmp_path, quiet
        )


def test_a_merged_model_lies_between_two(policy: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=15)
    folders = [model_folder(tmp_path / f"f{n}", path) for n, path in enumerate((policy, other))]
    inputs = Inputs({"policy": {"one": folders[0]}, "other": {"two": folders[1]}})
    (out := tmp_path / "out").mkdir()
    assert MERGE.run(MergeConfig(share=0.25), inputs, out, quiet) == {"share": 0.25}
    one, two, between = (weights_of(load_model(p)) for p in (policy, other, out / "model"))
    for name, value in between.items():
        assert torch.allclose(value, 0.75 * one[name] + 0.25 * two[name], atol=1e-6), name
