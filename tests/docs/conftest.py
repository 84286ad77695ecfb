"""One finished run and two small models for all pages, and a folder for each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.docs import stand_ins
from tests.docs.ways import CHANGES
from tests.families import family_model
from tests.tiny import tiny_model

import exante


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `tiny`, a Llama, and of `qwen` and `gemma`, with their families' templates."""
    folder = tmp_path_factory.mktemp("docs-models")
    tiny_model(folder / "tiny")
    for name, family in (("qwen", "qwen3"), ("gemma", "gemma2")):
        config = family_model(folder / name, family) / "config.json"
        # As much as the real ones: turns of a user's own data are long.
        settings = {**json.loads(config.read_text()), "max_position_embeddings": 8192}
        config.write_text(json.dumps(settings))
    return folder


@dataclass(frozen=True, slots=True)
class Demo:
    """A finished run of `exante.align` on prompts and rules of a user's."""

    asked: dict[str, Any]
    folder: Path


@pytest.fixture(scope="session")
def demo(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Make it, once for all pages."""
    folder = tmp_path_factory.mktemp("docs-run")
    data, rules = stand_ins.write(folder, "prompts.jsonl"), stand_ins.write(folder, "mine.yaml")
    asked: dict[str, Any] = {"model": str(models / "tiny"), "data": str(data), "rules": str(rules)}
    asked["settings"] = CHANGES
    exante.align(output=folder / "run", **asked)
    return Demo(asked, folder / "run")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in; what is put into the environment goes away again."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)
