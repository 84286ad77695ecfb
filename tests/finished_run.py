"""A run folder as `align` leaves it, made without a run: one model, its stamps and its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.pages.conftest import synthetic
from tests.tiny import tiny_model

from exante import rules
from exante.models.folders import mark_trace


def finished_run(run: Path, **settings: Any) -> Path:
    """Write it; `settings` are those of the recipe."""
    mark_trace(tiny_model(run / "taught" / "model"), "open")
    named = {"model": "me/base", "rules": "general", "teacher": "template", **settings}
    recipe = {
        "name": "erpo",
        "summary": "Ex-ante reasoning in three stages.",
        "paper": "arXiv 2504.02725",
        "badge": "adapted",
        "settings": named,
        "outcome": {"of": "taught"},
        "steps": {},
    }
    (run / "recipe.yaml").write_text(json.dumps(recipe))
    source = {"model": named["model"], "data": None}
    _stamp(
        run, "base", "source", source, {"weights": "ab" * 32}, parameters=1234567, untrained=True
    )
    cached = f"/cache/models--{named['model'].replace('/', '--')}/snapshots/1"
    (run / "base" / "model.json").write_text(json.dumps({"path": cached}))
    own = {"data": "/secret/place/prompts.jsonl", "sha256": "cd" * 32, "licence": None}
    hub = {"data": "hub:owner/name#test", "sha256": "ef" * 32, "licence": "MIT"}
    files = {str(one["data"]): str(one["sha256"]) for one in (own, hub)}
    prompts = {"model": None, "data": "mix.yaml"}
    _stamp(run, "prompts", "source", prompts, {"portions": "01" * 32, **files}, portions=[own, hub])
    hashed = {"rules": rules.load("general").hash}
    _stamp(run, "taught", "sft", {}, {})
    _stamp(run, "traces", "reason", {}, hashed)
    (run / "results.json").write_text(synthetic().model_dump_json(by_alias=True))
    return run


def _stamp(
    run: Path,
    name: str,
    stage: str,
    config: dict[str, Any],
    outside: dict[str, str],
    **summary: Any,
) -> None:
    (run / name).mkdir(parents=True, exist_ok=True)
    record = {"started": "2026-01-01", "python": "3.11.7", "versions": {"torch": "2.13.0"}}
    stamp = {
        "stage": stage,
        "fingerprint": f"of {name}",
        "config": config,
        "outside": outside,
        "inputs": {},
        "summary": summary,
        "record": record,
    }
    (run / name / "stage.json").write_text(json.dumps(stamp))
