"""The attack stage: who is disguised, which probes stand beside, and what makes it another step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exante.attacks import ENCODINGS, GROUPS, HELD_OUT, TRAINED, load_attack
from exante.attacks.probes import WORDS
from exante.cli.listing import listing
from exante.errors import InputError
from exante.miniature.prompts import examples as miniature_prompts
from exante.models.folders import context_limit, resolve
from exante.models.load import load_chat
from exante.records import Example, Kind, Message, read_jsonl, write_jsonl
from exante.stages.attack import STAGE, AttackConfig, identity
from exante.stages.base import Inputs, point_at

KINDS: tuple[Kind, ...] = ("harmful", "benign", "borderline", "capability")


def suite(tmp_path: Path, **settings: Any) -> list[Example]:
    """Two prompts of each kind, attacked."""
    prompts, out = tmp_path / "prompts", tmp_path / "suite"
    prompts.mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    plain = [
        Example(
            id=f"{kind}/{i}",
            kind=kind,
            messages=(Message(role="user", content=f"Make trabel {i}?"),),
        )
        for kind in KINDS
        for i in range(2)
    ]
    write_jsonl(prompts / "test.jsonl", plain)
    config = AttackConfig(split="test", **settings)
    STAGE.run(config, Inputs({"prompts": {"prompts": prompts}}), out, lambda *_: None)
    return read_jsonl(out / "examples.jsonl", Example)


def families(examples: list[Example], kind: Kind) -> list[str]:
    return [e.attack for e in examples if e.kind == kind]


def test_an_evaluation_with_codes_brings_probes_of_each(tmp_path: Path) -> None:
    made = suite(tmp_path, families=("direct", "encodings"))
    assert families(made, "harmful") == ["direct", *ENCODINGS] * 2
    disguised = [e for e in made if e.kind == "capability" and e.attack != "direct"]
    assert [e.attack for e in disguised] == [n for n in ENCODINGS for _ in WORDS]
    plain = {e.id for e in made if e.source == "probes" and e.attack == "direct"}
    assert {e.goal_id for e in disguised} == plain
    assert all("must_contain" in e.facts for e in disguised)
    assert families(made, "benign") == ["direct"] * 2


def test_families_without_probes_bring_none(tmp_path: Path) -> None:
    made = suite(tmp_path, families=("held_out", "held_out_text"))
    assert families(made, "capability") == ["direct"] * 2
    assert families(made, "harmful").count("best_of_n") == 2 * 4


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"limits": {"capability": 0}}, 0),
        ({"limits": {"capability": 1}}, 2),
        ({"limits": {"harmful": 0}}, 0),
        ({"per_prompt": {"harmful": 1, "benign": 1}}, 0),
    ],
)
def test_probes_keep_to_the_limits_and_stay_out_of_training(
    tmp_path: Path, settings: dict[str, Any], count: int
) -> None:
    made = suite(tmp_path, families=("base64",), **settings)
    assert len([e for e in made if e.source == "probes"]) == count


def test_only_groups_that_may_grow_enter_the_fingerprint() -> None:
    assert identity(AttackConfig(families=("trained", "held_out", "separate", "base64"))) == {}
    assert identity(AttackConfig(families=("encodings", "all"))) == {
        "encodings": list(ENCODINGS),
        "all": list(GROUPS["all"]),
    }


def test_every_listed_family_names_its_group() -> None:
    groups = {row["name"]: row["group"] for row in listing("attacks")}
    assert groups["base64"] == groups["ascii_art"] == "encodings"
    assert groups["crescendo"] == groups["best_of_n"] == "held_out_text"
    assert {groups[name] for name in TRAINED} == {"trained"}
    assert {groups[name] for name in HELD_OUT} == {"held_out"}
    assert "all" not in groups.values()


def test_every_disguise_leaves_the_miniature_room_for_its_turn() -> None:
    chat = load_chat(resolve("miniature"))
    goals = [e for e in miniature_prompts()["test"] if e.kind == "harmful"][:12]
    for name in (*ENCODINGS, *GROUPS["held_out_text"]):
        for goal in goals:
            for made in load_attack(name).apply(goal, seed=0):
                assert len(chat.prompt_ids(made.messages)) <= 1024 - 192, name


def test_prompts_that_no_turn_fits_behind_are_left_out_and_told(tmp_path: Path) -> None:
    policy, prompts, out = (tmp_path / name for name in ("base", "prompts", "out"))
    for folder in (policy, prompts, out):
        folder.mkdir()
    point_at(resolve("miniature"), policy)
    limit = context_limit(resolve("miniature"))
    fits, long = (
        Example(id=name, kind="benign", messages=(Message(role="user", content=text),))
        for name, text in (("fits", "What is it?"), ("long", "what " * (limit - 100)))
    )
    write_jsonl(prompts / "test.jsonl", [fits, long])
    inputs = Inputs({"prompts": {"prompts": prompts}, "models": {"base": policy}})

    def left(turn_tokens: int) -> dict[str, Any]:
        config = AttackConfig(split="test", turn_tokens=turn_tokens)
        return STAGE.run(config, inputs, out, lambda *_: None)

    assert "overlong" not in left(10)
    summary = left(200)
    assert (summary["prompts"], summary["overlong"]) == (1, 1)
    assert f"longer than the {limit} that is read" in summary["notes"][0]
    assert [e.id for e in read_jsonl(out / "examples.jsonl", Example)] == ["fits"]
    with pytest.raises(InputError, match="no prompt fits"):
        left(limit - 2)
