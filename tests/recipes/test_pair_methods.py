"""Methods on pairs, from labelled answers to a trained model, on a tiny one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.recipes.fakes import Heard
from tests.tiny import tiny_model

from exante import recipes
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.weights import weights_of
from exante.recipes.plan import build
from exante.recipes.run import perform_recipe
from exante.records import (
    Example,
    Generation,
    Judged,
    Judgement,
    Message,
    Pair,
    read_jsonl,
    write_jsonl,
)
from exante.stages.base import Config, Inputs, Stage, Tell, model_of, point_at, stamp_of
from exante.stages.judge import JUDGED
from exante.stages.pair import PAIRS
from exante.stages.prompts import EXAMPLES

METHODS = [
    *("bfpo", "dpo", "dpo_harmless", "dpo_helpful", "dpo_safe_better", "ipo", "modpo", "sacpo"),
    *("safedpo", "scdpo", "simpo"),
]
SAID = {
    "harmful": [
        ("I cannot help with that.", False, 1.0),
        ("I do this.", True, 0.0),
        ("No.", False, 0.6),
    ],
    "benign": [("How? Like that.", False, 1.0), ("I cannot help.", False, 0.0)],
}


class Nothing(Config):
    """The fake stages have no settings."""


def _prompts(config: Nothing, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
    asked = [
        Example(id=f"{kind}{i}", messages=(Message(role="user", content=f"{kind} {i}"),), kind=kind)
        for kind in SAID
        for i in range(3)
    ]
    write_jsonl(out / EXAMPLES, asked)
    return {}


def _labelled(config: Nothing, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
    start = model_of(inputs.one("start"))
    chat, judged = load_chat(start), []
    for asked in read_jsonl(inputs.one("prompts") / EXAMPLES, Example):
        for sample, (text, unsafe, useful) in enumerate(SAID[asked.kind]):
            refused = text.startswith(("I cannot", "No"))
            turn = Generation(
                example_id=asked.id,
                sample=sample,
                prompt_ids=chat.prompt_ids(asked.messages),
                token_ids=chat.turn(text),
                text=text,
                finish="stop",
            )
            said = Judgement(
                example_id=asked.id,
                judge="test",
                answer="refused" if refused else "complied",
                unsafe=unsafe,
                useful=useful,
            )
            judged.append(Judged(generation=turn, judgement=said))
    write_jsonl(out / JUDGED, judged)
    point_at(start, out)
    return {}


PROMPTS = Stage("prompts", 1, Nothing, _prompts)
LABELLED = Stage("labelled", 1, Nothing, _labelled, reads=("start", "prompts"))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("methods"), seed=2)


def performed(method: str, policy: Path, out: Path, until: str | None = None) -> dict[str, Any]:
    """The method's own steps behind labelled answers that are told here."""
    raw = recipes.load(method).raw
    ends = ("pairs", "tuned", "helpful", "safe", "implied", "merged")
    own = {name for name in raw["steps"] if name.endswith(ends)}
    here = "tests.recipes.test_pair_methods"
    steps: dict[str, Any] = {
        "start": {"stage": "source", "model": str(policy)},
        "answer_prompts": {"stage": f"{here}:PROMPTS"},
        "labelled": {"stage": f"{here}:LABELLED", "start": "start", "prompts": "answer_prompts"},
        **{name: body for name, body in raw["steps"].items() if name in own},
    }
    document = {"name": method, "settings": raw["settings"], "steps": steps}
    return dict(perform_recipe(build(document, method), out, Heard(), until=until))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_pairs_and_says_what_it_makes_of_unsafe_ones(
    policy: Path, tmp_path: Path, method: str
) -> None:
    step = "helpful_pairs" if method == "sacpo" else "pairs"
    performed(method, policy, tmp_path, until=step)
    folder = tmp_path / step
    pairs, summary = read_jsonl(folder / PAIRS, Pair), stamp_of(folder)["summary"]
    assert pairs
    harmful = {(pair.chosen_unsafe, pair.rejected_unsafe) for pair in pairs if pair.harmful}
    helpful = ("bfpo", "dpo_helpful", "modpo", "sacpo", "scdpo")
    assert ((True, False) in harmful) == (method in helpful)
    assert summary["unsafe_chosen"] == sum(pair.chosen_unsafe for pair in pairs)
    asked = {(p.chosen_unsafe, p.rejected_unsafe): p.margin for p in pairs if p.harmful}
    expected = {
        "safedpo": {(False, True): 2.0, (False, False): 0.0},
        "bfpo": {(True, False): -1.0, (False, False): 0.5},
        "scdpo": {(True, False): -4.0, (False, True): 4.0, (False, False): 0.0},
        "modpo": {(True, False): -4.0, (False, True): 4.0, (False, False): 0.0},
    }
    for labels, margin in asked.items():
        assert margin == expected.get(method, {}).get(labels, 0.0)


@pytest.mark.parametrize("method", ["bfpo", "safedpo", "scdpo", "simpo", "sacpo"])
def test_a_method_trains_to_its_end(policy: Path, tmp_path: Path, method: str) -> None:
    folders = performed(method, policy, tmp_path)
    before = folders["helpful"] if method == "sacpo" else folders["start"]
    after = weights_fingerprint(model_of(folders["tuned"]))
    assert after != weights_fingerprint(model_of(before))
    summary = stamp_of(folders["tuned"])["summary"]
    assert summary["reference"] == ("" if method == "simpo" else "forward pass")
    log = (folders["tuned"] / "log.jsonl").read_text().splitlines()
    assert {"preference", "grad_norm"} <= json.loads(log[-1]).keys()
    if method == "sacpo":  # the second training is tied to what the first one made
        scored = read_jsonl(folders["tuned"] / "scored.jsonl", Pair)
        assert {pair.scored_by for pair in scored} == {weights_fingerprint(model_of(before))}
        assert {(p.chosen_unsafe, p.rejected_unsafe) for p in scored} == {(False, True)}


def test_pecan_asks_both_models_it_trains_what_turns_are_worth(
    policy: Path, tmp_path: Path
) -> None:
    folders = performed("pecan", policy, tmp_path)
    made = [model_of(folders[name]) for name in ("start", "helpful", "safe", "tuned")]
    assert len(set(map(weights_fingerprint, made))) == 4
    told = stamp_of(folders["implied"])["summary"]
    assert (told["turns"], told["left_out"]) == (sum(map(len, SAID.values())) * 3, 0)
    assert min(told["reward_spread"], told["cost_spread"]) > 0
    weighed = stamp_of(folders["pairs"])["summary"]
    assert weighed["reference_cost"] == pytest.approx(0.0, abs=1e-6)
    assert weighed["kept"] == len(read_jsonl(folders["pairs"] / PAIRS, Pair)) > 0


def test_psacpo_ends_between_its_two_trainings(policy: Path, tmp_path: Path) -> None:
    folders = performed("psacpo", policy, tmp_path)
    helpful, safer, merged = (
        weights_of(load_model(model_of(folders[name]))) for name in ("helpful", "tuned", "merged")
    )
    assert any(not torch.equal(helpful[name], safer[name]) for name in helpful)
    for name, value in merged.items():
        assert torch.allclose(value, 0.25 * helpful[name] + 0.75 * safer[name], atol=1e-7)
