"""A run in two processes is the run of one: the same folders, turns and judgements."""

from __future__ import annotations

import json
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.commands import python
from tests.data_rows import PKU, write
from tests.recipes.fakes import Heard
from tests.tiny import tiny_model
from tests.tiny_guard import tiny_guard

from exante.models.load import load_model
from exante.models.score import score
from exante.records import Generation, Judged, Pair, read_jsonl
from exante.stages.base import STAMP, stamp_of
from exante.workflows.performing import run_recipe

CONFIG = resources.files("exante.recipes") / "accelerate" / "cpu.yaml"
TRAIN = {"epochs": 1, "batch_size": 3, "learning_rate": 1e-3, "precision": "float32"}


def plan(folder: Path) -> dict[str, Any]:
    """Every stage that several processes perform together, and some that one performs."""
    model, guard = tiny_model(folder / "model"), tiny_guard(folder / "guard", "llama")
    safer = {**PKU, "better_response_id": 1}
    rows = [{**safer, "prompt": f"How is harond {n} made?" * (1 + n % 3)} for n in range(7)]
    data = write(folder / "pku.jsonl", *rows)
    own = {"policy": "base", "prompts": "prompts"}
    return {
        "name": "processes",
        "steps": {
            "base": {"stage": "source", "model": str(model)},
            "prompts": {
                "stage": "source",
                "data": str(data),
                "validation_share": 0.0,
                "test_share": 0.0,
            },
            "answers": {"stage": "offline", **own},
            "taught": {"stage": "sft", **own, "traces": "answers", "train": TRAIN},
            "judged": {
                "stage": "judge",
                "generations": "answers",
                "prompts": "prompts",
                "judge": "given",
                "rules": "general",
            },
            "pairs": {
                "stage": "pair",
                "judged": "judged",
                "prompts": "prompts",
                "choice": {"require_trace": False},
            },
            "preferred": {
                "stage": "prefer",
                "policy": "taught",
                "reference": "base",
                "pairs": "pairs",
                "train": TRAIN,
            },
            "sampled": {
                "stage": "sample",
                **own,
                "trace": "free",
                "sampling": {"n": 2, "temperature": 1.0, "max_new_tokens": 12},
            },
            "checked": {
                "stage": "judge",
                "generations": "sampled",
                "prompts": "prompts",
                "judge": f"guard:wildguard@{guard}",
                "rules": "general",
            },
        },
    }


def command(recipe: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "exante", "align", recipe, "-o", out, *more)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same recipe performed by one process and by two."""
    folder = tmp_path_factory.mktemp("processes")
    recipe = folder / "plan.yaml"
    recipe.write_text(yaml.safe_dump(plan(folder), sort_keys=False))
    found = {1: folder / "one", 2: folder / "two"}
    run_recipe(str(recipe), asked={}, changes={}, out=found[1], listener=Heard())
    done = command(recipe, found[2], "--accelerate", str(CONFIG))
    assert done.returncode == 0, done.stderr[-3000:]
    # Whatever is said is said once.
    assert done.stderr.count("no report was asked for") == 1
    assert done.stderr.count("done preferred") == 1
    return found


def test_folders_are_the_same_and_complete(runs: dict[int, Path]) -> None:
    one, two = (sorted(p.name for p in out.iterdir()) for out in runs.values())
    assert one == two
    steps = [name for name in one if (runs[1] / name / STAMP).is_file()]
    assert len(steps) == 9
    for step in steps:
        stamps = [stamp_of(out / step) for out in runs.values()]
        assert stamps[0]["fingerprint"] == stamps[1]["fingerprint"]
        files = [
            sorted(str(p.relative_to(out)) for p in (out / step).rglob("*"))
            for out in runs.values()
        ]
        assert files[0] == files[1]
    assert stamp_of(runs[2] / "sampled")["record"]["processes"] == 2


def test_turns_and_verdicts_are_the_same(runs: dict[int, Path]) -> None:
    one, two = (read_jsonl(out / "sampled/generations.jsonl", Generation) for out in runs.values())
    assert len(one) == 14
    keys = ("example_id", "sample", "token_ids", "text", "finish", "scored_by")
    for a, b in zip(one, two, strict=True):
        assert [getattr(a, key) for key in keys] == [getattr(b, key) for key in keys]
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
    found = [read_jsonl(out / "checked/judged.jsonl", Judged) for out in runs.values()]
    verdicts = [[(j.generation.text, j.judgement) for j in judged] for judged in found]
    assert verdicts[0] == verdicts[1]


def test_reference_logprobs_and_models_are_the_same(runs: dict[int, Path]) -> None:
    one, two = (read_jsonl(out / "preferred/scored.jsonl", Pair) for out in runs.values())
    assert [p.example_id for p in one] == [p.example_id for p in two]
    assert [p.chosen_reference for p in one] == pytest.approx(
        [p.chosen_reference for p in two], abs=1e-4
    )
    rows = [(p.prompt_ids, p.chosen_ids) for p in one]
    base, *trained = (
        score(load_model(folder), rows, pad_id=1)
        for folder in (
            Path(json.loads((runs[1] / "base/model.json").read_text())["path"]),
            *(out / "preferred/model" for out in runs.values()),
        )
    )
    assert trained[0] == pytest.approx(trained[1], abs=1e-3)
    assert trained[0] != pytest.approx(base, abs=0.1)


def test_a_mistake_is_said_once_and_ends_all(runs: dict[int, Path]) -> None:
    """One that only the main process meets: no prompt brings a response."""
    folder = runs[1].parent
    document = yaml.safe_load((folder / "plan.yaml").read_text())
    document["steps"]["prompts"]["data"] = str(write(folder / "bare.jsonl", {"prompt": "Hello?"}))
    (folder / "bare.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    done = command(folder / "bare.yaml", folder / "bare", "--accelerate", str(CONFIG))
    assert done.returncode == 2
    assert done.stderr.count("the prompts bring no responses") == 1
    assert done.stderr.count("error") == 1
    assert "Traceback" not in done.stderr
    assert (folder / "bare/prompts" / STAMP).is_file()
