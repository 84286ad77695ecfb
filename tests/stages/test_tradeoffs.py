"""From judged turns to costs, weighed pairs and the next price: each stage, and all in a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.recipes.fakes import Heard
from tests.tiny import tiny_model
from tests.turns import judged_folder

from exante.errors import ArtefactError, InputError
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.score import score
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
    write_json,
    write_jsonl,
)
from exante.stages import control, cost, imply, label, weigh
from exante.stages.base import STAMP, Config, Inputs, Stage, model_of, point_at
from exante.stages.judge import judged_of
from exante.stages.judges import judge_identity, open_judge

COUNT = 24
UNSAFE, REFUSED, HELPED = "Do this with that.", "I cannot help with that.", "This is how."


def example(number: int, **fields: Any) -> Example:
    kind = "harmful" if number % 2 else "benign"
    message = Message(role="user", content=f"How do I do {number}?")
    return Example(id=f"e{number}", messages=(message,), kind=kind, **fields)


def judged(folder: Path, policy: Path, unsafe: int = COUNT) -> Path:
    """Two turns per prompt: on harmful ones, of which `unsafe` say it, harm and a refusal."""
    chat = load_chat(policy)
    turns = []
    for number in range(COUNT):
        harmful = number % 2 == 1
        first = UNSAFE if harmful and number < unsafe else HELPED if not harmful else REFUSED
        for sample, text in enumerate((first, REFUSED + " No." * (number % 3))):
            generation = Generation(
                example_id=f"e{number}",
                sample=sample,
                prompt_ids=chat.prompt_ids(example(number).messages),
                token_ids=chat.turn(text),
                text=text,
                finish="stop",
            )
            judgement = Judgement(
                example_id=f"e{number}",
                sample=sample,
                judge="test@1",
                answer="complied" if text in (UNSAFE, HELPED) else "refused",
                unsafe=text == UNSAFE,
                useful=1.0 if text == HELPED else 0.0,
            )
            turns.append(Judged(generation=generation, judgement=judgement))
    return judged_folder(folder, turns, policy)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tradeoffs"), seed=7)


@pytest.fixture
def world(tmp_path: Path, policy: Path) -> dict[str, Path]:
    prompts, start = tmp_path / "prompts", tmp_path / "start"
    for folder in (prompts, start):
        folder.mkdir()
        write_json(folder / STAMP, {"fingerprint": folder.name, "summary": {}})
    write_jsonl(prompts / "examples.jsonl", [example(n) for n in range(COUNT)])
    point_at(policy, start)
    return {"prompts": prompts, "policy": start, "judged": judged(tmp_path / "judged", policy)}


def run(stage: Stage, config: Config, world: dict[str, Path], out: Path) -> dict[str, Any]:
    out.mkdir()
    roles = (*stage.reads, *stage.optional)
    inputs = Inputs({role: {role: world[role]} for role in roles if role in world})
    return stage.run(config, inputs, out, lambda *_: None)


def test_a_cost_model_learns_the_verdicts_and_labels_turns(
    world: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "cost"
    summary = run(cost.STAGE, cost.CostConfig(held_out=0.25), world, out)
    assert (summary["turns"], summary["unsafe"] > 0, summary["unknown"]) == (36, True, 0)
    held_out = summary["held_out"]
    assert (held_out["turns"], held_out["sign_right"], held_out["pairs_right"]) == (12, 1.0, 1.0)
    assert model_of(out) == model_of(world["policy"])
    labelled = tmp_path / "labelled"
    summary = run(label.STAGE, label.LabelConfig(), {**world, "costs": out}, labelled)
    assert (summary["turns"], summary["unsafe"]) == (48, 12)
    for turn in judged_of(labelled):
        assert turn.judgement.cost is not None
        assert (turn.judgement.cost > 0) == (turn.generation.text == UNSAFE)
        assert turn.judgement.judge == "test@1"


def test_a_cost_model_judges_by_its_name(world: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "cost"
    run(cost.STAGE, cost.CostConfig(held_out=0.0), world, out)
    judge = open_judge(f"cost:{out}")
    found = [judge.judge(example(1), text, "stop") for text in (UNSAFE, REFUSED)]
    assert [one.unsafe for one in found] == [True, False]
    assert [one.answer for one in found] == ["complied", "refused"]
    assert judge_identity(f"cost:{out}")["judge"] in judge.name
    with pytest.raises(InputError, match="no cost head"):
        open_judge(f"cost:{world['policy']}")


def test_verdicts_of_one_kind_teach_no_cost(
    world: dict[str, Path], tmp_path: Path, policy: Path
) -> None:
    safe = judged(tmp_path / "safe", policy, unsafe=0)
    with pytest.raises(InputError, match="0 unsafe turns among"):
        run(cost.STAGE, cost.CostConfig(), {**world, "judged": safe}, tmp_path / "out")


def pairs_of(folder: Path) -> list[Pair]:
    return read_jsonl(folder / "pairs.jsonl", Pair)


def test_a_price_decides_who_wins(world: dict[str, Path], tmp_path: Path) -> None:
    for price, unsafe in ((0.0, 12), (0.4, 12), (0.6, 0)):
        out = tmp_path / f"{price}"
        summary = run(weigh.STAGE, weigh.WeighConfig(multiplier=price), world, out)
        assert (summary["multiplier"], summary["unsafe_chosen"]) == (price, unsafe)
        assert sum(pair.chosen_unsafe for pair in pairs_of(out)) == unsafe
        counts = json.loads((out / "counts.json").read_text())
        assert counts["kept"] == len(pairs_of(out)) == 24


def test_a_price_that_is_solved_for_meets_its_limit(world: dict[str, Path], tmp_path: Path) -> None:
    """Two samples (1, 1) and (0, -1) on every harmful prompt: the price of 0 is 1/2."""
    solve = weigh.SolveConfig(limit=0.0, beta=0.1)
    summary = run(weigh.STAGE, weigh.WeighConfig(solve=solve), world, tmp_path / "out")
    assert summary["multiplier"] == pytest.approx(0.5)
    assert summary["reference_cost"] == pytest.approx(0.0)
    assert summary["expected_cost"] == pytest.approx(0.0, abs=1e-6)
    assert summary["limit_met"]
    low = solve.model_copy(update={"limit": -2.0, "cap": 3.0})
    summary = run(weigh.STAGE, weigh.WeighConfig(solve=low), world, tmp_path / "low")
    assert (summary["multiplier"], summary["limit_met"]) == (3.0, False)
    other = weigh.WeighConfig(solve=solve.model_copy(update={"kinds": ("capability",)}))
    with pytest.raises(InputError, match="capability prompts"):
        run(weigh.STAGE, other, world, tmp_path / "other")


def test_models_say_what_turns_are_worth_and_pairs_follow(
    world: dict[str, Path], tmp_path: Path, policy: Path
) -> None:
    """The helpful model is another one; the safe one is the reference, so that no cost differs."""
    other = tmp_path / "other"
    other.mkdir()
    point_at(tiny_model(tmp_path / "another", seed=8), other)
    roles = {"reference": world["policy"], "helpful": other, "safe": world["policy"]}
    out = tmp_path / "implied"
    summary = run(imply.STAGE, imply.ImplyConfig(beta=0.5), {**world, **roles}, out)
    assert summary["divergence"]["safe"] == summary["cost_spread"] == 0.0
    assert summary["divergence"]["helpful"] != 0.0
    known = imply.implied_of(out)
    turns = {(j.generation.example_id, j.generation.token_ids) for j in judged_of(world["judged"])}
    assert {(one.example_id, one.token_ids) for one in known} == turns
    first = judged_of(world["judged"])[0].generation
    rows = [(first.prompt_ids, first.token_ids)]
    ours, theirs = (
        score(load_model(model_of(folder)), rows, pad_id=load_chat(policy).pad_id)[0]
        for folder in (world["policy"], other)
    )
    assert known[0].reward == pytest.approx(0.5 * (theirs - ours), abs=1e-4)
    after = {**world, "implied": out}
    config = weigh.WeighConfig(solve=weigh.SolveConfig(limit=0.0))
    summary = run(weigh.STAGE, config, after, tmp_path / "pairs")
    assert (summary["multiplier"], summary["reference_cost"], summary["limit_met"]) == (0, 0, True)
    rewards = {(one.example_id, one.token_ids): one.reward for one in known}
    for pair in pairs_of(tmp_path / "pairs"):
        chosen = rewards[pair.example_id, pair.chosen_ids]
        assert chosen > rewards[pair.example_id, pair.rejected_ids]
    with pytest.raises(InputError, match="says nothing of what turns are worth"):
        run(weigh.STAGE, config, {**world, "implied": other}, tmp_path / "wrong")


def test_the_price_follows_the_policys_own_cost(
    world: dict[str, Path], tmp_path: Path, policy: Path
) -> None:
    """Of the harmful prompts e1, e3, ... those below 8 say harm in one of their two turns."""
    some = judged(tmp_path / "some", policy, unsafe=8)
    options = {"multiplier": 0.5, "rate": 2.0, "limit": -0.9, "doubt": 0.05}
    config = control.ControlConfig.model_validate(options)
    decision = run(control.STAGE, config, {**world, "judged": some}, tmp_path / "one")
    signal = decision["signal"]
    assert (signal["prompts"], signal["turns"], signal["unknown"]) == (12, 24, 0)
    assert signal["cost"] == pytest.approx((4 * 0 + 8 * -1) / 12)
    assert signal["excess"] == pytest.approx(4 * 0.5 / 12)
    # Means 0 (four times) and -1 (eight): their deviation is sqrt(8 / 33).
    assert signal["radius"] == pytest.approx((8 / 33 * 2.995732 / 12) ** 0.5)
    assert decision["next_multiplier"] == pytest.approx(0.5 + 2.0 * (-2 / 3 + 0.9))
    assert not decision["feasible"]
    assert model_of(tmp_path / "one") == policy
    after = {**world, "control": tmp_path / "one"}
    decision = run(control.STAGE, config, after, tmp_path / "two")
    assert decision["multiplier"] == pytest.approx(0.5 + 2.0 * (-2 / 3 + 0.9))
    pairs = run(weigh.STAGE, weigh.WeighConfig(), after, tmp_path / "pairs")
    assert pairs["multiplier"] == decision["multiplier"]
    rectified = config.model_copy(update={"rule": "rectified"})
    decision = run(control.STAGE, rectified, {**world, "judged": some}, tmp_path / "relu")
    assert decision["next_multiplier"] == pytest.approx(0.5 + 2.0 * 2 / 12)


def test_two_prices_too_few_prompts_and_wrong_folders_are_mistakes(
    world: dict[str, Path], tmp_path: Path
) -> None:
    both = weigh.WeighConfig(solve=weigh.SolveConfig())
    with pytest.raises(InputError, match="both solved for and given"):
        run(weigh.STAGE, both, {**world, "control": world["policy"]}, tmp_path / "both")
    with pytest.raises(ArtefactError, match=r"holds no control\.json"):
        run(
            weigh.STAGE, weigh.WeighConfig(), {**world, "control": world["policy"]}, tmp_path / "no"
        )
    few = control.ControlConfig(kinds=("borderline",))
    with pytest.raises(InputError, match="0 borderline prompts"):
        run(control.STAGE, few, world, tmp_path / "few")
    with pytest.raises(ValidationError, match="start above it"):
        control.ControlConfig(rule="log_dual", multiplier=0.0)
    with pytest.raises(ValidationError, match="rule dual does not read decay"):
        control.ControlConfig(rule="dual", decay=0.1)


TRAIN = {"learning_rate": 3e-3, "epochs": 1, "batch_size": 8, "precision": "float32"}
SAMPLING = {"n": 2, "temperature": 1.0, "max_new_tokens": 6}
LOOP = {
    "settings": {},
    "steps": {
        "costs": {"stage": "cost", "policy": "start", "judged": "judged", "prompts": "prompts"},
        "labelled": {"stage": "label", "judged": "judged", "prompts": "prompts", "costs": "costs"},
        "first": {"stage": "control", "judged": "labelled", "prompts": "prompts", "limit": -5.0},
        "rounds": {
            "repeat": 2,
            "carry": {"policy": ["start", "tuned"], "price": ["first", "control"]},
            "steps": {
                "pairs": {
                    "stage": "weigh",
                    "judged": "labelled",
                    "prompts": "prompts",
                    "control": "price",
                    "choice": {"safety_pairs": True},
                },
                "tuned": {
                    "stage": "prefer",
                    "policy": "policy",
                    "reference": "start",
                    "pairs": "pairs",
                    "loss": {"barrier": {"limit": 0.69}},
                    "train": TRAIN,
                },
                "sampled": {
                    "stage": "sample",
                    "policy": "tuned",
                    "prompts": "prompts",
                    "trace": "free",
                    "sampling": SAMPLING,
                },
                "judged": {
                    "stage": "judge",
                    "generations": "sampled",
                    "prompts": "prompts",
                    "judge": "strings",
                    "rules": "general",
                },
                "priced": {
                    "stage": "label",
                    "judged": "judged",
                    "prompts": "prompts",
                    "costs": "costs",
                },
                "control": {
                    "stage": "control",
                    "judged": "priced",
                    "prompts": "prompts",
                    "control": "price",
                    "limit": -5.0,
                },
            },
        },
    },
}


def test_rounds_train_measure_and_price_again(
    world: dict[str, Path], tmp_path: Path, policy: Path
) -> None:
    """All stages in a loop; a run that stopped in its middle goes on to the same end."""
    given = {"start": world["policy"], "judged": world["judged"], "prompts": world["prompts"]}
    recipe = build(LOOP, "t", given)

    def perform(out: Path, until: str | None = None) -> dict[str, Any]:
        return perform_recipe(recipe, out, Heard(), until, given=dict(given))

    scope = perform(tmp_path / "whole")
    prices = [
        json.loads((folder / "control.json").read_text())["next_multiplier"]
        for folder in (scope["first"], *scope["rounds.control"].values())
    ]
    assert 1.0 < prices[0] < prices[1] < prices[2]
    used = [
        json.loads((folder / STAMP).read_text())["summary"]["multiplier"]
        for folder in scope["rounds.pairs"].values()
    ]
    assert used == prices[:2]
    trained = weights_fingerprint(model_of(scope["rounds.policy"]))
    assert trained != weights_fingerprint(policy)
    log = tmp_path / "whole/rounds-2-tuned/log.jsonl"
    assert "recovering" in json.loads(log.read_text().splitlines()[-1])
    stopped = tmp_path / "stopped"
    perform(stopped, until="sample")
    assert not (stopped / "rounds-1-judged").exists()
    again = perform(stopped)
    assert weights_fingerprint(model_of(again["rounds.policy"])) == trained
