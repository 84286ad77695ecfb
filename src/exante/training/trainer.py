"""transformers.Trainer with a loss of ours: what is optimised comes in as a function.

Kept thin on purpose: checkpoints, accumulation, mixed precision and distribution are the Trainer's.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from exante.durable import CHECKPOINTS, write_text
from exante.errors import InputError, RunError
from exante.models.devices import native_bfloat16
from exante.models.ranks import gathered, ranks
from exante.training.data import LengthWindows
from exante.training.dealing import IDLE
from exante.training.settings import TrainSettings

Loss = Callable[[Tensor, Mapping[str, Any]], tuple[Tensor, dict[str, Tensor]]]
"""Log-probs and the part of a batch they belong to, to the loss (a scalar) and numbers to log."""
OnStep = Callable[[int, int, float], None]
"""Called with step, steps and the latest loss."""

AfterBackward = Callable[[Any], None]
"""Called with the model when a batch has left its gradients."""


class ObjectiveTrainer(Trainer):
    """A Trainer whose loss, order of items and metrics are given from outside.

    A batch comes in parts that fit into memory; each part's loss is its share of the batch's. Of
    several processes each has its own parts, as many as the others.
    """

    def __init__(
        self,
        loss: Loss,
        sampler: Sampler[list[int]],
        after_backward: AfterBackward | None = None,
        **arguments: Any,
    ) -> None:
        """`loss` is called on each part's log-probs; `sampler` yields batches of places."""
        super().__init__(**arguments)
        self._loss = loss
        self._sampler = sampler
        self._after_backward = after_backward
        self._numbers: dict[str, list[Tensor]] = defaultdict(list)
        self._unchecked: list[tuple[Tensor, int, list[str]]] = []
        """Of each batch its loss, the step that it is part of, and its rows."""
        self.model_accepts_loss_kwargs = False
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self._sampler

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of each part; gradients are exchanged with the last one only."""
        if self.is_deepspeed_enabled and len(inputs) > 1:
            raise InputError(
                f"a batch comes in {len(inputs)} parts, and DeepSpeed takes a step after each",
                where="train.batch_tokens",
                fix="raise it, or lower train.batch_size and raise train.accumulation",
            )
        losses = []
        for number, part in enumerate(inputs):
            last = number + 1 == len(inputs)
            with nullcontext() if last else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, part, num_items_in_batch))
        if self._after_backward is not None:
            self._after_backward(self.accelerator.unwrap_model(model))
        names = [name for part in inputs if IDLE not in part for name in part["example_ids"]]
        total = torch.stack(losses).sum()
        self._unchecked.append((total, self.state.global_step, names))
        return total

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The objective on one part of a batch.

        Gradients and logged losses become means over the processes, and shares of a batch add up.
        """
        loss, numbers = self._loss(model(**inputs["inputs"]), inputs)
        if IDLE in inputs:
            return 0 * loss
        for name, value in numbers.items():
            self._numbers[name].append(value)
        return loss * ranks().count

    def log(self, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Add the means of the objective's own numbers since the last line."""
        names = list(self._numbers)
        sums = [torch.stack(self._numbers[name]).sum() for name in names]
        # One transfer for all of them: a device is waited for once per line.
        values = torch.stack(sums).tolist() if sums else []
        counts = [len(self._numbers[name]) for name in names]
        self._numbers.clear()
        mine = {n: (v, c) for n, v, c in zip(names, values, counts, strict=True)}
        super().log({**logs, **_means(gathered(mine))}, *arguments, **options)

    def require_finite(self) -> None:
        """Stop if a loss since the last call was not finite.

        Raises:
            RunError: names the step and its rows.
        """
        waiting, self._unchecked = self._unchecked, []
        if not waiting:
            return
        values = torch.stack([loss for loss, _, _ in waiting]).tolist()
        # All processes stop at the same step, and the main one can name every row of it.
        everywhere = gathered(list(zip(values, (names for _, _, names in waiting), strict=True)))
        for (_, step, _), batch in zip(waiting, zip(*everywhere, strict=True), strict=True):
            value = sum(value for value, _ in batch) / len(batch)
            if not math.isfinite(value):
                rows = [name for _, names in batch for name in names]
                raise RunError(
                    f"the loss is {value} at step {step}",
                    where=f"rows {', '.join(rows[:8])}",
                    fix="lower the learning rate; the last checkpoint is kept",
                )

    def _maybe_log_save_evaluate(self, *arguments: Any, **options: Any) -> None:
        if self.control.should_log or self.control.should_save:
            self.require_finite()
        super()._maybe_log_save_evaluate(*arguments, **options)

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: the Trainer's formula knows padded rows only."""
        return 0


def _means(found: Sequence[Mapping[str, tuple[float, int]]]) -> dict[str, float]:
    """Sums and counts of each process to means over all."""
    total: dict[str, tuple[float, int]] = {}
    for mine in found:
        for name, (value, count) in mine.items():
            before = total.get(name, (0.0, 0))
            total[name] = before[0] + value, before[1] + count
    return {name: value / count for name, (value, count) in total.items()}


class Epochs(TrainerCallback):
    """Tells the order of items which pass begins.

    The one place that does: accelerate's data loaders reach a sampler or not, by how it is wrapped.
    """

    def __init__(self, batches: LengthWindows) -> None:
        """Batches as all processes together see them."""
        self.batches = batches

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Steps done so far say it, also where a run is continued."""
        steps = math.ceil(len(self.batches) / args.gradient_accumulation_steps)
        self.batches.set_epoch(state.global_step // steps)


class Reporter(TrainerCallback):
    """Appends each log line to a file and tells how far training is."""

    def __init__(self, path: Path, on_step: OnStep | None) -> None:
        """`path` is a JSON Lines file."""
        self.path = path
        self.on_step = on_step
        self.latest = math.nan

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Forget what a killed training told after the checkpoint that this one begins with."""
        if state.is_world_process_zero and self.path.is_file():
            write_text(self.path, "".join(_lines_until(self.path, state.global_step)))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """Write one line; the summary at the end of training is left out."""
        if logs and "loss" in logs and state.is_world_process_zero:
            self.latest = float(logs["loss"])
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Pass progress on; the last step is logged, too, so that short trainings say something.

        So is every checkpoint: the next line is then a mean over the same steps in a training that
        begins there.
        """
        control.should_log |= state.global_step >= state.max_steps
        control.should_log |= control.should_save
        if self.on_step is not None:
            self.on_step(state.global_step, state.max_steps, self.latest)


def _lines_until(path: Path, step: int) -> Iterator[str]:
    """Whole lines of a log that are about steps up to this one."""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n") and json.loads(line)["step"] <= step:
            yield line


def arguments(
    out: Path,
    settings: TrainSettings,
    device: str,
    epochs: float,
    *,
    on_disk: bool = True,
    sparse: bool = False,
    report_to: Sequence[str] = (),
    run_name: str | None = None,
) -> TrainingArguments:
    """Our settings in the Trainer's words; trackers are told what our own log says, too.

    A `sparse` model has weights that a batch may leave out, which DDP must look for in every step.
    """
    bfloat16 = settings.precision == "bfloat16" or (
        settings.precision == "auto" and native_bfloat16(device)
    )
    return TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        learning_rate=settings.learning_rate,
        num_train_epochs=epochs,
        per_device_train_batch_size=1,  # of whole batches: the sampler makes them
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
        # It would wait for the device at every step; we look at the losses when a line is due.
        logging_nan_inf_filter=False,
        save_strategy="steps" if on_disk else "no",
        save_steps=settings.checkpoint_steps,
        ddp_find_unused_parameters=sparse,
        report_to=list(report_to) or "none",
        run_name=run_name,
        project="exante",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
    )
