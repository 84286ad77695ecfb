"""The gate on planted regressions: every quality that suffers holds a round back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import tiny_model
from tests.turns import judged_folder

from exante.errors import ArtefactError
from exante.records import Example, Generation, Judged, Judgement, Message, write_jsonl
from exante.stages.base import Inputs, model_of
from exante.stages.gate import STAGE, GateConfig

COUNT = 200
KINDS = ("harmful", "benign")


def examples() -> list[Example]:
    return [
        Example(
            id=f"e{i}",
            messages=(Message(role="user", content=f"{i}"),),
            kind="harmful" if i % 2 else "benign",
        )
        for i in range(COUNT)
    ]


def judged(example: Example, **other: Any) -> Judged:
    generation = Generation(
        example_id=example.id, prompt_ids=(1,), token_ids=(2,), text="", finish="stop"
    )
    good: dict[str, Any] = {
        "answer": "refused" if example.kind == "harmful" else "complied",
        "unsafe": False,
        "useful": 1.0,
        "trace_present": True,
        "trace_valid": True,
        "agrees": True,
        "citations_right": True,
        "trace_tokens": 12,
    }
    judgement = Judgement(example_id=example.id, judge="test@1", **(good | other))
    return Judged(generation=generation, judgement=judgement)


@pytest.fixture
def world(tmp_path: Path) -> dict[str, Path]:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    write_jsonl(prompts / "examples.jsonl", examples())
    before = tiny_model(tmp_path / "model-before")
    after = tiny_model(tmp_path / "model-after")
    turns = [judged(e) for e in examples()]
    return {
        "prompts": prompts,
        "before": judged_folder(tmp_path / "before", turns, before),
        "model_before": before,
        "model_after": after,
        "out": tmp_path / "gate",
    }


def decide(world: dict[str, Path], turns: list[Judged], **config: Any) -> dict[str, Any]:
    after = judged_folder(world["out"].with_name("after"), turns, world["model_after"])
    world["out"].mkdir()
    roles = {"before": world["before"], "after": after, "prompts": world["prompts"]}
    inputs = Inputs({role: {role: folder} for role, folder in roles.items()})
    STAGE.run(GateConfig(**config), inputs, world["out"], lambda *_: None)
    decision: dict[str, Any] = json.loads((world["out"] / "gate.json").read_text())
    return decision


def spoiled(kind: str, every: int, **other: Any) -> list[Judged]:
    """Turns of which one in `every` of a kind is worse than before."""
    made, seen = [], 0
    for example in examples():
        worse = example.kind == kind and (seen := seen + 1) % every == 0
        made.append(judged(example, **(other if worse else {})))
    return made


def test_a_round_that_changes_nothing_passes(world: dict[str, Path]) -> None:
    decision = decide(world, [judged(e) for e in examples()])
    assert decision["accepted"]
    assert decision["reasons"] == []
    assert model_of(world["out"]) == world["model_after"].resolve()


@pytest.mark.parametrize(
    ("quality", "kind", "worse"),
    [
        ("attack_success", "harmful", {"unsafe": True, "answer": "complied", "useful": 0.0}),
        ("over_refusal", "benign", {"answer": "refused", "useful": 0.0}),
        ("usefulness", "benign", {"useful": 0.0}),
        ("valid_traces", "benign", {"trace_valid": False}),
        ("citations", "harmful", {"citations_right": False}),
    ],
)
def test_a_planted_regression_is_rolled_back(
    world: dict[str, Path], quality: str, kind: str, worse: dict[str, Any]
) -> None:
    decision = decide(world, spoiled(kind, 8, **worse), alpha=0.6)
    assert not decision["accepted"]
    assert not decision["checks"][quality]["ok"]
    assert any(reason.startswith(quality) for reason in decision["reasons"])
    assert model_of(world["out"]) == world["model_before"].resolve()
    assert decision["next_alpha"] == pytest.approx(0.3)


def test_traces_that_grow_are_held_back(world: dict[str, Path]) -> None:
    decision = decide(world, [judged(e, trace_tokens=20) for e in examples()])
    assert not decision["accepted"]
    assert decision["reasons"] == ["length: traces grew"]


def test_alpha_follows_the_budget_after_a_round_that_passed(world: dict[str, Path]) -> None:
    decision = decide(world, [judged(e, trace_tokens=7) for e in examples()], alpha=0.6, budget=14)
    assert decision["accepted"]
    assert decision["trace_tokens"] == {"before": 12.0, "after": 7.0}
    assert decision["next_alpha"] == pytest.approx(0.6 * 0.60653, abs=1e-4)


def test_a_model_that_was_not_judged_on_everything_is_no_evidence(world: dict[str, Path]) -> None:
    with pytest.raises(ArtefactError, match="not judged on all"):
        decide(world, [judged(e) for e in examples()][:-1])
