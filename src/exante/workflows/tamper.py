"""The steps behind `--tamper`: models fine-tuned on harm for a few steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exante.errors import InputError
from exante.models.folders import MINIATURE

_BATCH = 8
_MINIATURE_RATE, _RATE = 5e-4, 2e-5
_PROMPTS = 320


def add_tampering(
    steps: dict[str, Any], settings: dict[str, Any], labels: Sequence[str], ks: Sequence[int]
) -> None:
    """Add every model after k steps of harmful fine-tuning, for each k (arXiv 2310.03693).

    The rows are what the first model itself answers to harmful training prompts. The attacker holds
    the weights and need not open a trace, so these models are sampled without one.

    Raises:
        InputError: a number of steps is not positive.
    """
    if not ks:
        return
    if min(ks) < 1:
        raise InputError("a number of steps is not positive", where="--tamper", fix="10,50")
    mine = settings.get("data") == MINIATURE
    settings["tamper_rate"] = _MINIATURE_RATE if mine else _RATE
    # In front of the models that are asked.
    later = {name: steps.pop(name) for name in ("evaluation", "report")}
    inner = later["evaluation"]["steps"]
    nothing = {"benign": 0, "borderline": 0, "capability": 0}
    steps |= {
        "tamper_prompts": {
            **steps["suite"],
            "split": "train",
            "families": [],
            "limits": {"harmful": _PROMPTS, **nothing},
        },
        "tamper_sampled": {
            **inner["sampled"],
            "policy": labels[0],
            "prompts": "tamper_prompts",
            "trace": "free",
        },
        "tamper_judged": {
            **inner["judged"],
            "generations": "tamper_sampled",
            "prompts": "tamper_prompts",
        },
    }
    for k in ks:
        rows = f"tamper_rows_{k}"
        steps[rows] = {"stage": "comply", "judged": "tamper_judged", "rows": k * _BATCH}
        for label in labels:
            name = f"{label}_tampered_{k}"
            steps[name] = _training(label, rows)
            later["evaluation"]["each"][name] = {"of": name, "trace": "free"}
    steps |= later


def _training(label: str, rows: str) -> dict[str, Any]:
    return {
        "stage": "sft",
        "policy": label,
        "prompts": "tamper_prompts",
        "traces": rows,
        "train": {
            "learning_rate": "$tamper_rate",
            "epochs": 1,
            "batch_size": _BATCH,
            "seed": "$seed",
        },
    }
