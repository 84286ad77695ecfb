"""The pair stage: each rule by name, its account in the stamp, settings that a rule ignores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from tests.tiny import tiny_model

from exante.models.chat import Chat
from exante.models.load import load_chat
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
from exante.stages.base import Inputs, point_at
from exante.stages.judge import JUDGED
from exante.stages.pair import PAIRS, STAGE, PairConfig
from exante.stages.prompts import EXAMPLES

ASKED = Example(id="p", messages=(Message(role="user", content="ask"),), kind="harmful")
SEEN = "<think><assess>asks for harm [M01]</assess>"
REFUSES = f"{SEEN}<calibrate>refuse</calibrate></think>I cannot."
COMPLIES = f"{SEEN}<calibrate>comply</calibrate></think>How so? Like that."
RULES = get_args(PairConfig.model_fields["rule"].annotation)


def judged(chat: Chat, sample: int, text: str, **facts: Any) -> Judged:
    opinion = {"example_id": "p", "judge": "test", "trace_present": True, "trace_valid": True}
    return Judged(
        generation=Generation(
            example_id="p",
            sample=sample,
            prompt_ids=chat.prompt_ids(ASKED.messages),
            token_ids=chat.turn(text),
            text=text,
            finish="stop",
        ),
        judgement=Judgement.model_validate(opinion | facts),
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """One harmful prompt, a refusal and an answer that does the harm; their traces begin alike."""
    root = tmp_path_factory.mktemp("pair")
    chat = load_chat(tiny_model(root / "policy"))
    turns = [
        judged(chat, 0, REFUSES, answer="refused", unsafe=False, useful=1.0, agrees=True),
        judged(chat, 1, COMPLIES, answer="complied", unsafe=True, useful=0.0),
    ]
    for name in ("judged", "prompts"):
        (root / name).mkdir()
    write_jsonl(root / "judged" / JUDGED, turns)
    point_at(root / "policy", root / "judged")
    write_jsonl(root / "prompts" / EXAMPLES, [ASKED])
    return Inputs({name: {name: root / name} for name in ("judged", "prompts")})


def made(world: Inputs, out: Path, **settings: Any) -> tuple[list[Pair], dict[str, Any]]:
    summary = STAGE.run(PairConfig.model_validate(settings), world, out, lambda *_: None)
    assert json.loads((out / "counts.json").read_text()).items() <= summary.items()
    return read_jsonl(out / PAIRS, Pair), summary


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_says_what_it_made(world: Inputs, tmp_path: Path, rule: str) -> None:
    pairs, summary = made(world, tmp_path, rule=rule)
    assert summary["rule"] == rule
    assert summary["kept"] == len(pairs) == (0 if rule == "safe_better" else 1)
    assert [pair.chosen_unsafe for pair in pairs] == [rule == "better"] * len(pairs)
    assert sum(summary["kept_by_kind"].values()) == len(pairs)


def test_safedpo_turns_the_pair_and_asks_for_delta(world: Inputs, tmp_path: Path) -> None:
    labels = {"margin": "unsafe", "strength": 2.5}
    (pair,), summary = made(world, tmp_path, rule="safedpo", labels=labels)
    assert pair.margin == 2.5
    assert (summary["compared"], summary["swapped"], summary["dropped"]) == (1, 1, 0)


def test_a_step_begins_behind_the_section_that_both_turns_share(
    world: Inputs, tmp_path: Path
) -> None:
    chat = load_chat(tiny_model(tmp_path / "same"))
    (whole,), _ = made(world, tmp_path, rule="quality")
    (step,), _ = made(world, tmp_path, rule="step")
    assert (step.level, whole.level) == ("step", "full")
    assert chat.decode(step.prompt_ids[len(whole.prompt_ids) :]) == SEEN
    assert (*step.prompt_ids, *step.chosen_ids) == (*whole.prompt_ids, *whole.chosen_ids)
    assert (*step.prompt_ids, *step.rejected_ids) == (*whole.prompt_ids, *whole.rejected_ids)


@pytest.mark.parametrize(
    ("settings", "unread"),
    [
        ({"rule": "better", "choice": {"per_prompt": 2}}, "choice"),
        ({"rule": "quality", "labels": {"seed": 1}}, "labels"),
    ],
)
def test_settings_that_the_rule_does_not_read_are_refused(
    settings: dict[str, Any], unread: str
) -> None:
    with pytest.raises(ValidationError, match=f"does not read {unread}"):
        PairConfig.model_validate(settings)
