"""Trainings in two processes on a CPU (gloo) are those of one: losses, log-probs, weights."""

from __future__ import annotations

import json
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.commands import python
from tests.tiny import tiny_model
from tests.training import divided
from tests.training.test_fit import pairs, rows

from exante.errors import InputError
from exante.models.load import load_chat, load_model
from exante.models.score import score
from exante.training import TrainSettings
from exante.training.settings import LoraSettings
from exante.training.sharding import require_divided, require_divisible

CPU = resources.files("exante.recipes") / "accelerate" / "cpu.yaml"
FSDP = resources.files("exante.recipes") / "accelerate" / "fsdp2.yaml"
KILL_AT = 11


def launch(config: Path, policy: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ("-m", "accelerate.commands.launch", "--config_file", config)
    return python(*words, divided.__file__, policy, out, *more)


def configs(folder: Path) -> dict[str, Path]:
    """The files that are shipped, FSDP's with two processes on a CPU."""
    fsdp = yaml.safe_load(FSDP.read_text()) | {"use_cpu": True, "num_processes": 2}
    (folder / "fsdp.yaml").write_text(yaml.safe_dump(fsdp))
    return {"ddp": Path(str(CPU)), "fsdp": folder / "fsdp.yaml"}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("divided"), seed=5)


@pytest.fixture(scope="module")
def one(policy: Path) -> Path:
    out = policy.parent / "one"
    out.mkdir(exist_ok=True)
    (out / "summaries.json").write_text(json.dumps(divided.train(policy, out)))
    return out


@pytest.fixture(scope="module", params=["ddp", "fsdp"])
def two(request: pytest.FixtureRequest, policy: Path) -> Path:
    """Trained by two processes; those of DDP were killed in the middle and started again."""
    kind: str = request.param
    config, out = configs(policy.parent)[kind], policy.parent / kind
    if kind == "ddp":
        killed = launch(config, policy, out, str(KILL_AT))
        assert killed.returncode != 0
        assert (out / "tokens/checkpoints/checkpoint-9").is_dir()
        assert not (out / "tokens/model").exists()
    done = launch(config, policy, out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["tokens", "pairs"])
def test_losses_and_steps_are_those_of_one_process(one: Path, two: Path, kind: str) -> None:
    alone, together = lines(one / kind), lines(two / kind)
    assert [line["step"] for line in alone] == [line["step"] for line in together]
    assert alone
    for a, b in zip(alone, together, strict=True):
        for number in ("loss", "grad_norm", "learning_rate"):
            assert a[number] == pytest.approx(b[number], rel=1e-5)
        assert a.keys() == b.keys()
    told = [json.loads((out / "summaries.json").read_text())[kind] for out in (one, two)]
    for name in ("items", "steps", "epochs", "tokens", "layout", "reference"):
        assert told[0][name] == told[1][name]
    assert told[0]["last_loss"] == pytest.approx(told[1]["last_loss"], rel=1e-5)


@pytest.mark.parametrize("kind", ["tokens", "pairs"])
def test_models_are_those_of_one_process(one: Path, two: Path, policy: Path, kind: str) -> None:
    chat = load_chat(policy)
    asked = [(row.prompt_ids, row.response_ids) for row in rows(chat)]
    asked += [(pair.prompt_ids, pair.rejected_ids) for pair in pairs(chat)]
    before, alone, together = (
        score(load_model(folder), asked, pad_id=chat.pad_id)
        for folder in (policy, one / kind / "model", two / kind / "model")
    )
    assert alone == pytest.approx(together, abs=2e-3)
    assert max(abs(a - b) for a, b in zip(before, alone, strict=True)) > 1


def test_kept_embeddings_are_kept(two: Path, policy: Path) -> None:
    before, after = (load_model(p).state_dict() for p in (policy, two / "tokens/model"))
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["model.norm.weight"], after["model.norm.weight"])


def test_fsdp_that_accelerate_would_leave_out_is_refused(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_divided(False)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="divides weights over GPUs only"):
        require_divided(False)
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(InputError, match="FSDP 1 is not supported"):
        require_divisible(policy, divided.SETTINGS)


def test_what_divided_weights_cannot_do_is_refused(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    require_divisible(policy, TrainSettings())
    with pytest.raises(InputError, match="embeddings: markup"):
        require_divisible(policy, divided.SETTINGS)
    with pytest.raises(InputError, match="adapters are not trained"):
        require_divisible(policy, TrainSettings(lora=LoraSettings()))
