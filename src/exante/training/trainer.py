"""transformers.Trainer with a loss of ours: what is optimised comes in as a function.

Kept thin on purpose: checkpoints, accumulation, mixed precision and distribution are the Trainer's.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from exante.errors import RunError
from exante.models.load import native_bfloat16
from exante.training.settings import TrainSettings

Loss = Callable[[Any, Mapping[str, Any]], tuple[Tensor, dict[str, float]]]
"""Model and batch to the loss (a scalar) and numbers to log."""
OnStep = Callable[[int, int, float], None]
"""Called with step, steps and the latest loss."""

CHECKPOINTS = "checkpoints"
_COMPLETE = ("trainer_state.json", "optimizer.pt", "scheduler.pt")


class Items(Dataset[Any]):
    """A list as a dataset."""

    def __init__(self, items: Sequence[Any]) -> None:
        """Items in a fixed order; the sampler chooses among them."""
        self.items = items

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        """One item."""
        return self.items[index]


class ObjectiveTrainer(Trainer):
    """A Trainer whose loss, order of items and metrics are given from outside."""

    def __init__(self, loss: Loss, sampler: Sampler[int], **arguments: Any) -> None:
        """`loss` is called on each batch; `sampler` yields indices of the training items."""
        super().__init__(**arguments)
        self._loss = loss
        self._sampler = sampler
        self._numbers: dict[str, list[float]] = defaultdict(list)
        self.model_accepts_loss_kwargs = False
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self._sampler

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The objective on one batch.

        Raises:
            RunError: the loss is not finite; names the rows.
        """
        loss, numbers = self._loss(model, inputs)
        if not torch.isfinite(loss):
            rows = ", ".join(inputs["example_ids"][:8])
            raise RunError(
                f"the loss is {loss.item()} at step {self.state.global_step}",
                where=f"rows {rows}",
                fix="lower the learning rate; the last checkpoint is kept",
            )
        for name, value in numbers.items():
            self._numbers[name].append(value)
        return loss

    def log(self, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Add the means of the objective's own numbers since the last line."""
        means = {name: sum(v) / len(v) for name, v in self._numbers.items() if v}
        self._numbers.clear()
        super().log({**logs, **means}, *arguments, **options)


class Reporter(TrainerCallback):
    """Appends each log line to a file and tells how far training is."""

    def __init__(self, path: Path, on_step: OnStep | None) -> None:
        """`path` is a JSON Lines file."""
        self.path = path
        self.on_step = on_step
        self.latest = math.nan

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """Write one line; the summary at the end of training is left out."""
        if logs and "loss" in logs:
            self.latest = float(logs["loss"])
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Pass progress on."""
        if self.on_step is not None:
            self.on_step(state.global_step, state.max_steps, self.latest)


def arguments(out: Path, settings: TrainSettings, device: str) -> TrainingArguments:
    """Our settings in the Trainer's words; nothing is reported anywhere but to our own log."""
    bfloat16 = settings.precision == "bfloat16" or (
        settings.precision == "auto" and native_bfloat16(device)
    )
    return TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        warmup_steps=settings.warmup,
        lr_scheduler_type="cosine",
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        adam_beta2=settings.adam_beta2,
        seed=settings.seed,
        bf16=bfloat16,
        use_cpu=device == "cpu",
        logging_steps=10,
        save_strategy="steps",
        save_steps=settings.checkpoint_steps,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
    )


def last_checkpoint(out: Path) -> str | None:
    """The newest checkpoint that was written to its end."""
    found = sorted(
        (out / CHECKPOINTS).glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1])
    )
    whole = [p for p in found if all((p / name).is_file() for name in _COMPLETE)]
    return str(whole[-1]) if whole else None
