"""A recipe with adapters from its base to a merged model: every step reads the same model."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tests.recipes.fakes import Heard
from tests.recipes.test_pair_methods import Nothing
from tests.tiny import tiny_model
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from exante.cli import app
from exante.models.adapters import base_of, is_adapter
from exante.models.folders import opened_trace, weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.score import score
from exante.recipes.plan import build
from exante.recipes.run import perform_recipe
from exante.records import (
    Example,
    Generation,
    Judged,
    Judgement,
    Pair,
    Traced,
    read_jsonl,
    write_jsonl,
)
from exante.stages.base import Inputs, Stage, Tell, model_of, point_at, stamp_of
from exante.stages.judge import JUDGED
from exante.stages.prompts import EXAMPLES
from exante.stages.reason import TRACED
from exante.stages.runs import final_model
from exante.stages.sample import GENERATIONS

REFUSAL, HARM = "I cannot help with that.", "How do I do this?"
LORA = {"rank": 8}


def _traces(config: Nothing, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
    """Refusals and compliance, half and half, so that samples hold both."""
    asked = read_jsonl(inputs.one("prompts") / EXAMPLES, Example)
    turns = [(e.id, text) for e in asked for text in (REFUSAL, HARM)]
    write_jsonl(out / TRACED, [Traced(example_id=i, text=t, level="none") for i, t in turns])
    return {}


def _judged(config: Nothing, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
    place, judged = inputs.one("generations"), []
    for turn in read_jsonl(place / GENERATIONS, Generation):
        refused = turn.text.startswith("I")
        said = Judgement(
            example_id=turn.example_id,
            judge="test",
            answer="refused" if refused else "complied",
            unsafe=not refused,
            useful=float(refused),
        )
        judged.append(Judged(generation=turn, judgement=said))
    write_jsonl(out / JUDGED, judged)
    point_at(model_of(place), out)
    return {}


TRACES = Stage("traces", 1, Nothing, _traces, reads=("prompts",))
JUDGE = Stage("judging", 1, Nothing, _judged, reads=("generations",))
HERE = "tests.end_to_end.test_lora"


def plan(base: Path) -> dict[str, Any]:
    train = {"precision": "float32", "lora": "$lora", "seed": 0}
    sampling = {"n": 4, "temperature": 1.0, "max_new_tokens": 24}
    return {
        "name": "adapters",
        "settings": {"lora": LORA},
        "outcome": {"of": "tuned"},
        "steps": {
            "base": {"stage": "source", "model": str(base)},
            "prompts": {"stage": "tests.recipes.test_pair_methods:PROMPTS"},
            "traces": {"stage": f"{HERE}:TRACES", "prompts": "prompts"},
            "taught": {
                "stage": "sft",
                "policy": "base",
                "prompts": "prompts",
                "traces": "traces",
                "train": {**train, "learning_rate": 0.02, "epochs": 60, "batch_size": 6},
            },
            "sampled": {
                "stage": "sample",
                "policy": "taught",
                "prompts": "prompts",
                "trace": "free",
                "sampling": sampling,
            },
            "judged": {"stage": f"{HERE}:JUDGE", "generations": "sampled"},
            "pairs": {"stage": "pair", "judged": "judged", "prompts": "prompts", "rule": "safer"},
            # All pairs in one step, so that the loss in the log is that of the reference.
            "tuned": {
                "stage": "prefer",
                "policy": "taught",
                "pairs": "pairs",
                "loss": {"name": "dpo", "beta": 0.1, "anchor": 0},
                "train": {
                    **train,
                    "learning_rate": 0.01,
                    "epochs": 1,
                    "warmup": 0,
                    "batch_size": 999,
                },
            },
        },
    }


def decided(base: Path) -> Path:
    """The base with an output layer that can tell tokens apart: an adapter leaves it as it is."""
    model = load_model(base)
    with torch.no_grad():
        model.lm_head.weight *= 40
    model.save_pretrained(base)
    return base


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    base = decided(tiny_model(root / "base", seed=12))
    perform_recipe(build(plan(base), "adapters"), root / "run", Heard())
    return root / "run"


def sums(model: Any, pairs: list[Pair]) -> list[float]:
    rows = [(p.prompt_ids, ids) for p in pairs for ids in (p.chosen_ids, p.rejected_ids)]
    return score(model, rows, pad_id=1)


def test_the_policy_is_one_adapter_on_the_base(run: Path) -> None:
    taught, tuned = run / "taught/model", run / "tuned/model"
    assert is_adapter(taught)
    assert is_adapter(tuned)
    assert base_of(taught) == base_of(tuned)
    assert opened_trace(tuned) == "free"
    assert final_model(run) == tuned
    assert sum(p.stat().st_size for p in tuned.glob("*.safetensors")) < 100_000


def test_pairs_are_held_at_what_sampled_them_from_the_first_step_on(run: Path) -> None:
    summary = stamp_of(run / "tuned")["summary"]
    assert (summary["items"] > 0, summary["steps"], summary["reference"]) == (True, 1, "sampler")
    assert summary["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    pairs = read_jsonl(run / "pairs/pairs.jsonl", Pair)
    taught = run / "taught/model"
    assert {pair.scored_by for pair in pairs} == {weights_fingerprint(taught)}
    sampled = [x for p in pairs for x in (p.chosen_reference or 0.0, p.rejected_reference or 0.0)]
    assert sampled == pytest.approx(sums(load_model(taught), pairs), abs=1e-2)
    base = load_model(Path(base_of(taught).name))
    assert sampled != pytest.approx(sums(base, pairs), abs=1.0)


def test_merged_weights_say_what_the_adapter_says_to_everyone(run: Path, tmp_path: Path) -> None:
    pairs = read_jsonl(run / "pairs/pairs.jsonl", Pair)
    done = CliRunner().invoke(app, ["model", "merge", str(run), "-o", str(tmp_path / "whole")])
    assert done.exit_code == 0, done.output
    assert "no token's log-prob moved by more than" in done.output
    tuned = run / "tuned/model"
    expected = sums(load_model(tuned), pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        base = AutoModelForCausalLM.from_pretrained(base_of(tuned).name)
        loose = PeftModel.from_pretrained(base, tuned).eval()
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "whole").eval()
    for model in (loose, plain, load_model(tmp_path / "whole")):
        assert sums(model, pairs) == pytest.approx(expected, abs=1e-3)
    assert expected != pytest.approx(sums(load_model(run / "taught/model"), pairs), abs=0.1)
    assert load_chat(tmp_path / "whole").eos_id == 1
    card = (tmp_path / "whole/README.md").read_text()
    assert weights_fingerprint(tmp_path / "whole")[:12] in card
    assert "merged into the weights" in card


def test_without_adapters_the_same_recipe_starts_at_the_same_loss(
    run: Path, tmp_path: Path
) -> None:
    document = plan(run.parent / "base")
    document["settings"]["lora"] = None
    document["steps"]["taught"]["train"] |= {"learning_rate": 3e-3, "epochs": 20}
    perform_recipe(build(document, "adapters"), tmp_path / "full", Heard())
    summary = stamp_of(tmp_path / "full/tuned")["summary"]
    assert summary["lora"] is None
    assert summary["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert not is_adapter(tmp_path / "full/tuned/model")
