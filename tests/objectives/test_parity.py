"""The same loss as TRL's DPOTrainer on the same rows, weights and reference."""

from __future__ import annotations

from functools import partial
from pathlib import Path
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


@pytest.mark.parametrize(("ours", "theirs"), [("dpo", "sigmoid"), ("hinge", "hinge")])
def test_loss_and_gradient_agree(
    folders: tuple[Path, Path], tmp_path: Path, ours: str, theirs: str
) -> None:
    policy, reference = folders
    chat = load_chat(policy)
    examples = [
        {"prompt_ids": chat.encode(p), "chosen_ids": chat.turn(c), "rejected_ids": chat.turn(r)}
        for p, c, r in ROWS
    ]
    model = load_model(policy)
    (part,) = _batch(examples, reference)
    logprobs = response_logprobs_of(model, **part["inputs"])
    loss, _ = pair_loss(logprobs, part, PairLoss(name=ours, anchor=0.0))
    loss.backward()
    trl_loss, trl_model = _trl(examples, folders, theirs, tmp_path)
    assert loss.item() == pytest.approx(trl_loss.item(), abs=1e-5)
    for (name, mine), their in zip(model.named_parameters(), trl_model.parameters(), strict=True):
        assert torch.allclose(mine.grad, their.grad, atol=1e-5), name


def _batch(examples: list[dict[str, Any]], reference: Path) -> Parts:
    chat, frozen = load_chat(reference), load_model(reference)
    scored = partial(score, frozen, pad_id=chat.pad_id)
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
        )
        for i, e in enumerate(examples)
    ]
    return collate_pairs(groups_of(pairs), pad_id=chat.pad_id, tokens=10_000, shared=True)


def _trl(
    examples: list[dict[str, Any]], folders: tuple[Path, Path], loss: str, out: Path
) -> tuple[Any, Any]:
    policy, reference = folders
    arguments = DPOConfig(
        output_dir=str(out),
        loss_type=[loss],
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
