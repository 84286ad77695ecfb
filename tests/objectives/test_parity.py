"""The same loss as TRL's DPOTrainer on the same rows, weights and reference."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from tests.tiny import tiny_model
from transformers import AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from exante.models.forward import response_logprobs_of
from exante.models.load import load_chat, load_model
from exante.models.score import score
from exante.records import Pair
from exante.training import PairLoss
from exante.training.data import Parts, collate_pairs, groups_of
from exante.training.losses import pair_loss

# TRL calls what transformers is about to drop; that is theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:trl", "ignore:.*gradient_checkp")

ROWS = [
    ("Tell me.", "I cannot help with that.", "How do I do this? Like so."),
    ("How?", "No.", "I do not know how to help with this, and so on, and so on."),
    ("Why do I do this? I cannot.", "You can.", "That."),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("parity")
    return tiny_model(root / "policy", seed=1), tiny_model(root / "reference", seed=2)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"name": "dpo"}, {"loss_type": ["sigmoid"]}),
        ({"name": "hinge"}, {"loss_type": ["hinge"]}),
        ({"name": "ipo", "per_token": True}, {"loss_type": ["ipo"]}),
        ({"name": "dpo", "per_token": True}, {"loss_type": ["sigmoid_norm"]}),
        ({"name": "dpo", "tail": 0.3}, {"loss_type": ["sigmoid"], "ld_alpha": 0.3}),
    ],
)
def test_loss_and_gradient_agree(
    folders: tuple[Path, Path], tmp_path: Path, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    examples = _examples(folders[0])
    loss, model = _ours(examples, folders, PairLoss(**ours, anchor=0.0))
    trl_loss, trl_model = _trl(examples, folders, theirs, tmp_path)
    _assert_same(loss, model, trl_loss, trl_model)


@pytest.fixture
def cpo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """TRL's trainer that knows SimPO; it warns that it may change."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    return import_module("trl.experimental.cpo.cpo_trainer").CPOTrainer


def test_simpo_agrees(folders: tuple[Path, Path], cpo: Any) -> None:
    examples = _examples(folders[0])
    simpo = PairLoss(anchor=0.0, beta=2.0, margin=0.7, per_token=True, reference_free=True)
    loss, model = _ours(examples, folders, simpo)
    theirs = load_model(folders[0])
    sides = [
        torch.stack([_mean_logprob(cpo, theirs, e["prompt_ids"], e[side]) for e in examples])
        for side in ("chosen_ids", "rejected_ids")
    ]
    trainer: Any = SimpleNamespace(
        loss_type="simpo",
        beta=2.0,
        simpo_gamma=0.7,
        alpha=0.0,
        label_smoothing=0.0,
        accelerator=SimpleNamespace(device="cpu"),
    )
    trl_loss = cpo.cpo_loss(trainer, *sides)[0].mean()
    trl_loss.backward()
    _assert_same(loss, model, trl_loss, theirs)


def _mean_logprob(
    cpo: Any, model: Any, prompt: tuple[int, ...], response: tuple[int, ...]
) -> torch.Tensor:
    """TRL's mean log-prob of one response, in a row of its own."""
    ids = torch.tensor([[*prompt, *response]])
    labels = torch.tensor([[-100] * len(prompt) + list(response)])
    means: torch.Tensor = cpo.get_batch_logps(model(ids).logits, labels, average_log_prob=True)
    return means[0]


def _assert_same(loss: Any, model: Any, trl_loss: Any, trl_model: Any) -> None:
    assert loss.item() == pytest.approx(trl_loss.item(), abs=1e-5)
    for (name, mine), their in zip(model.named_parameters(), trl_model.parameters(), strict=True):
        assert torch.allclose(mine.grad, their.grad, atol=1e-5), name


def _examples(policy: Path) -> list[dict[str, Any]]:
    chat = load_chat(policy)
    return [
        {"prompt_ids": chat.encode(p), "chosen_ids": chat.turn(c), "rejected_ids": chat.turn(r)}
        for p, c, r in ROWS
    ]


def _ours(
    examples: list[dict[str, Any]], folders: tuple[Path, Path], settings: PairLoss
) -> tuple[Any, Any]:
    policy, reference = folders
    model = load_model(policy)
    (part,) = _batch(examples, reference)
    logprobs = response_logprobs_of(model, **part["inputs"])
    loss, _ = pair_loss(logprobs, part, settings)
    loss.backward()
    return loss, model


def _batch(examples: list[dict[str, Any]], reference: Path) -> Parts:
    chat, frozen = load_chat(reference), load_model(reference)
    scored = partial(score, frozen, pad_id=chat.pad_id)
    shorter = [min(len(e["chosen_ids"]), len(e["rejected_ids"])) for e in examples]
    pairs = [
        Pair(
            example_id=str(i),
            prompt_ids=e["prompt_ids"],
            chosen_ids=e["chosen_ids"],
            rejected_ids=e["rejected_ids"],
            kind="safety",
            why="test",
            chosen_reference=scored([(e["prompt_ids"], e["chosen_ids"])])[0],
            rejected_reference=scored([(e["prompt_ids"], e["rejected_ids"])])[0],
            chosen_front=scored([(e["prompt_ids"], e["chosen_ids"][:front])])[0],
            rejected_front=scored([(e["prompt_ids"], e["rejected_ids"][:front])])[0],
        )
        for i, (e, front) in enumerate(zip(examples, shorter, strict=True))
    ]
    return collate_pairs(groups_of(pairs), pad_id=chat.pad_id, tokens=10_000, shared=True)


def _trl(
    examples: list[dict[str, Any]], folders: tuple[Path, Path], loss: dict[str, Any], out: Path
) -> tuple[Any, Any]:
    policy, reference = folders
    arguments = DPOConfig(
        output_dir=str(out),
        **loss,
        beta=0.1,
        use_cpu=True,
        bf16=False,
        report_to="none",
        activation_checkpointing=False,
        disable_dropout=True,
    )
    rows = [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in ROWS]
    trainer: Any = DPOTrainer(
        model=load_model(policy),
        ref_model=load_model(reference),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(policy),
    )
    lists = [{key: list(ids) for key, ids in example.items()} for example in examples]
    batch = DataCollatorForPreference(pad_token_id=load_chat(policy).pad_id)(lists)
    trainer.model.train()
    value = trainer._compute_loss(trainer.model, batch, return_outputs=False)
    value.backward()
    return value, trainer.model
