"""Trainings of an adapter: what is saved, what it is held at, and how one stage follows another."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.commands import python
from tests.tiny import tiny_model
from tests.training.test_embeddings import with_think_tokens
from tests.training.test_fit import Killed, killer, pairs, rows
from transformers import AutoModelForCausalLM

from exante.errors import InputError, RunError
from exante.models.adapters import base_of
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.score import score
from exante.models.weights import weights_of
from exante.records import Pair, read_jsonl
from exante.training import PairLoss, TrainSettings, TrainSummary, fit_pairs, fit_tokens
from exante.training import lora as lora_module
from exante.training import reference as reference_module
from exante.training.embeddings import markup_ids
from exante.training.fit import fit_weights
from exante.training.settings import LoraSettings

LORA = LoraSettings(rank=4)
SETTINGS = TrainSettings(
    learning_rate=2e-2, epochs=2, batch_size=4, checkpoint_steps=3, precision="float32", lora=LORA
)
WEIGHTS = "adapter_model.safetensors"


def changed(**fields: Any) -> TrainSettings:
    return SETTINGS.model_copy(update={"lora": LORA.model_copy(update=fields)})


def taught(policy: Path, out: Path, settings: TrainSettings = SETTINGS) -> TrainSummary:
    return fit_tokens(rows(load_chat(policy)), policy=policy, out=out, settings=settings)


def preferred(policy: Path, out: Path, reference: Path | None = None, **more: Any) -> TrainSummary:
    options: dict[str, Any] = {"settings": SETTINGS, "loss": PairLoss(), **more}
    given = pairs(load_chat(policy))
    return fit_pairs(given, policy=policy, reference=reference or policy, out=out, **options)


def sums(folder: Path) -> list[float]:
    """Log-probs of some rows under a saved model."""
    asked = [(row.prompt_ids, row.response_ids) for row in rows(load_chat(folder), 6)]
    return score(load_model(folder), asked, pad_id=1)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("lora") / "base", seed=5)


@pytest.fixture(scope="module")
def sft(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that was fine-tuned."""
    out = tmp_path_factory.mktemp("sft") / "taught"
    taught(policy, out)
    return out / "model"


def test_an_adapter_learns_and_its_base_stays(policy: Path, tmp_path: Path) -> None:
    before = weights_fingerprint(policy)
    summary = taught(policy, tmp_path)
    folder = tmp_path / "model"
    assert weights_fingerprint(policy) == before
    assert not (folder / "model.safetensors").exists()
    assert not (folder / "README.md").exists()
    assert summary.lora is not None
    # Four matrices of attention (32 x 32) and three of the feed-forward part (32 x 64), twice.
    assert summary.lora.trainable == 2 * 4 * (4 * (32 + 32) + 3 * (32 + 64))
    assert base_of(folder).fingerprint == before
    assert sum(sums(folder)) - sum(sums(policy)) > 25
    assert weights_fingerprint(folder) != before


@pytest.fixture(scope="module")
def whole(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained with dropout by a process that nothing disturbed."""
    out = tmp_path_factory.mktemp("dropped") / "whole"
    taught(policy, out, changed(dropout=0.2))
    return out / "model"


@pytest.mark.parametrize("kill_at", [2, 4, 8])
def test_a_killed_training_continues_to_the_same_adapter(
    policy: Path, whole: Path, tmp_path: Path, kill_at: int
) -> None:
    """With dropout, so that the random streams must go on as well."""
    settings, out = changed(dropout=0.2), tmp_path / "killed"
    given = rows(load_chat(policy))
    with pytest.raises(Killed):
        fit_tokens(given, policy=policy, out=out, settings=settings, on_step=killer(kill_at))
    for checkpoint in out.glob("checkpoints/*"):
        assert (checkpoint / WEIGHTS).stat().st_size < 40_000
        assert not (checkpoint / "model.safetensors").exists()
    steps: list[int] = []
    fit_tokens(
        given, policy=policy, out=out, settings=settings, on_step=lambda s, *_: steps.append(s)
    )
    assert steps[0] == (kill_at // 3) * 3 + 1
    assert (out / "model" / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert weights_fingerprint(out / "model") == weights_fingerprint(whole)


def killed_run(policy: Path, out: Path) -> None:
    """What another process does until it is killed."""

    def on_step(step: int, steps: int, loss: float) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    fit_tokens(rows(load_chat(policy)), policy=policy, out=out, settings=SETTINGS, on_step=on_step)


def test_kill_9_in_the_middle_changes_nothing(policy: Path, sft: Path, tmp_path: Path) -> None:
    code = (
        "import sys, warnings; from pathlib import Path; "
        "warnings.simplefilter('ignore'); from tests.training.test_lora import killed_run; "
        f"killed_run(Path({str(policy)!r}), Path({str(tmp_path)!r}))"
    )
    done = python("-c", code)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert not (tmp_path / "model").exists()
    taught(policy, tmp_path)
    assert (tmp_path / "model" / WEIGHTS).read_bytes() == (sft / WEIGHTS).read_bytes()


def test_preferences_are_held_at_the_adapter_that_comes_in(sft: Path, tmp_path: Path) -> None:
    summary = preferred(sft, tmp_path)
    assert summary.reference == "forward pass"
    scored = read_jsonl(tmp_path / "scored.jsonl", Pair)
    assert {pair.scored_by for pair in scored} == {weights_fingerprint(sft)}
    expected = score(load_model(sft), [(p.prompt_ids, p.chosen_ids) for p in scored], pad_id=1)
    assert [p.chosen_reference for p in scored] == pytest.approx(expected, abs=1e-3)


def test_a_reference_without_the_adapter_is_found_out_before_the_first_step(
    sft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake of others: the adapter is switched off, and the bare base is the reference."""

    def bare(model: Any, *arguments: Any, **options: Any) -> Any:
        with model.disable_adapter():
            return score(model, *arguments, **options)

    monkeypatch.setattr(reference_module, "score", bare)
    steps: list[int] = []
    with pytest.raises(RunError, match="closed form"):
        preferred(sft, tmp_path, on_step=lambda step, *_: steps.append(step))
    assert steps == []


def test_one_adapter_goes_through_all_stages(policy: Path, sft: Path, tmp_path: Path) -> None:
    loss = PairLoss(anchor=0.0)
    still = SETTINGS.model_copy(update={"learning_rate": 1e-12})
    summary = preferred(sft, tmp_path / "still", settings=still, loss=loss)
    logged = (tmp_path / "still/log.jsonl").read_text().splitlines()
    assert json.loads(logged[0])["safety/gap"] == pytest.approx(0.0, abs=1e-3)
    assert summary.first_loss == pytest.approx(math.log(2), abs=0.1)
    assert sums(tmp_path / "still/model") == pytest.approx(sums(sft), abs=1e-3)
    preferred(sft, tmp_path / "tuned")
    assert base_of(tmp_path / "tuned/model").fingerprint == weights_fingerprint(policy)
    assert sums(tmp_path / "tuned/model") != pytest.approx(sums(sft), abs=0.1)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of whole weights that are loaded from here on."""
    found: list[Path] = []
    given = AutoModelForCausalLM.from_pretrained

    def load(path: Path, *arguments: Any, **options: Any) -> Any:
        found.append(path)
        return given(path, *arguments, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    return found


@pytest.mark.parametrize("lora", [LORA, None])
def test_a_policy_that_is_its_own_reference_is_loaded_once(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: LoraSettings | None
) -> None:
    loaded = counted(monkeypatch)
    preferred(policy, tmp_path, settings=SETTINGS.model_copy(update={"lora": lora}))
    assert loaded == [policy]


def test_another_reference_is_gone_before_the_policy_comes(
    policy: Path, sft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferred(sft, tmp_path / "first")
    order: list[str] = []
    for module, name in ((reference_module, "frozen"), (reference_module, "write_jsonl")):
        given = getattr(module, name)

        def told(*args: Any, given: Any = given, name: str = name, **options: Any) -> Any:
            order.append(name)
            return given(*args, **options)

        monkeypatch.setattr(module, name, told)
    given_trainable = lora_module.trainable

    def trainable(*args: Any) -> Any:
        order.append("trainable")
        return given_trainable(*args)

    monkeypatch.setattr("exante.training.fit.trainable", trainable)
    preferred(tmp_path / "first/model", tmp_path / "second", reference=sft)
    assert order == ["frozen", "write_jsonl", "trainable"]
    scored = read_jsonl(tmp_path / "second/scored.jsonl", Pair)
    assert {pair.scored_by for pair in scored} == {weights_fingerprint(sft)}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": 8}, r"another lora\.rank than this step: 4, not 8"),
        ({"alpha": 32}, r"another lora\.alpha"),
        ({"targets": ("q_proj",)}, r"another lora\.targets"),
    ],
)
def test_stages_agree_on_what_their_adapter_is_made_of(
    sft: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        preferred(sft, tmp_path, settings=changed(**fields))


def test_merged_weights_say_what_the_adapter_says(policy: Path, sft: Path, tmp_path: Path) -> None:
    summary = taught(policy, tmp_path / "merged", changed(save="merged"))
    folder = tmp_path / "merged/model"
    assert (folder / "model.safetensors").is_file()
    assert not (folder / "adapter_config.json").exists()
    assert not (tmp_path / "merged/adapter").exists()
    assert summary.lora is not None
    assert summary.lora.moved is not None
    assert 0 < summary.lora.moved < 1e-3
    assert sums(folder) == pytest.approx(sums(sft), abs=1e-3)
    # What follows is a new adapter of any shape, on the merged weights.
    preferred(folder, tmp_path / "next", settings=changed(rank=2))
    assert base_of(tmp_path / "next/model").fingerprint == weights_fingerprint(folder)
    assert json.loads((tmp_path / "next/model/base.json").read_text())["path"].startswith("../")


def test_a_merge_that_changes_the_model_leaves_the_adapter(
    policy: Path, sft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = changed(save="merged")
    with monkeypatch.context() as broken:
        broken.setattr(lora_module, "TOLERANCE", {torch.float32: 0.0})
        with pytest.raises(RunError, match="merging changed a token's log-prob"):
            taught(policy, tmp_path, settings)
    assert not (tmp_path / "model").exists()
    assert sums(tmp_path / "adapter") == pytest.approx(sums(sft), abs=1e-4)
    steps: list[int] = []
    given = rows(load_chat(policy))
    fit_tokens(
        given, policy=policy, out=tmp_path, settings=settings, on_step=lambda s, *_: steps.append(s)
    )
    assert steps == []
    assert sums(tmp_path / "model") == pytest.approx(sums(sft), abs=1e-4)


def test_a_full_training_starts_from_an_adapter(sft: Path, tmp_path: Path) -> None:
    full = SETTINGS.model_copy(update={"lora": None, "learning_rate": 1e-9})
    assert taught(sft, tmp_path, full).lora is None
    assert (tmp_path / "model/model.safetensors").is_file()
    assert sums(tmp_path / "model") == pytest.approx(sums(sft), abs=1e-3)


@pytest.mark.parametrize("tied", [False, True])
def test_words_of_the_format_are_learned_beside_the_matrices(tmp_path: Path, tied: bool) -> None:
    policy = with_think_tokens(tmp_path / "policy")
    if tied:
        model = load_model(policy)
        model.config.tie_word_embeddings = True
        model.tie_weights()
        model.save_pretrained(policy)
    settings = SETTINGS.model_copy(update={"embeddings": "markup"})
    taught(policy, tmp_path / "sft", settings)
    preferred(tmp_path / "sft/model", tmp_path / "dpo", settings=settings)
    free = markup_ids(load_chat(policy))
    assert len(free) == 2
    models = [load_model(p) for p in (policy, tmp_path / "sft/model", tmp_path / "dpo/model")]
    for old, new in zip(models, models[1:], strict=False):
        for side in ("input", "output"):
            a, b = (getattr(m, f"get_{side}_embeddings")().weight for m in (old, new))
            moved = torch.nonzero(((a - b).abs() > 1e-6).any(1)).flatten().tolist()
            assert moved == free if side == "output" or tied else set(moved) <= set(free)
    with pytest.raises(InputError, match="another embeddings than this step"):
        taught(tmp_path / "sft/model", tmp_path / "all")


def test_weights_that_stay_in_memory_are_whole_ones(policy: Path, tmp_path: Path) -> None:
    given = rows(load_chat(policy))
    found, summary = fit_weights(given, policy=policy, out=tmp_path, settings=SETTINGS)
    before = weights_of(load_model(policy))
    assert found.keys() == before.keys()
    assert not torch.equal(found[Q_PROJ], before[Q_PROJ])
    assert summary.lora is None
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


Q_PROJ = "model.layers.0.self_attn.q_proj.weight"


def test_only_named_layers_are_trained(policy: Path, tmp_path: Path) -> None:
    taught(policy, tmp_path, changed(targets=("q_proj",)))
    before, after = (weights_of(load_model(p)) for p in (policy, tmp_path / "model"))
    moved = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"q_proj"}


def test_unknown_layers_are_named_with_those_there_are(policy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown layer 'q_prj'(.|\n)*did you mean 'q_proj'"):
        taught(policy, tmp_path, changed(targets=("q_prj",)))
    with pytest.raises(InputError, match="unknown layer 'lm_head'"):
        taught(policy, tmp_path, changed(targets=("lm_head",)))


@pytest.mark.parametrize("fields", [{"rank": 0}, {"dropout": 1.0}, {"targets": "all"}])
def test_settings_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LoraSettings(**fields)


def test_settings_without_lora_are_told_as_they_were() -> None:
    """Stamps and fingerprints of runs without LoRA do not know that it exists."""
    assert "lora" not in TrainSettings().model_dump(mode="json")
    assert changed().model_dump(mode="json")["lora"]["rank"] == 4
