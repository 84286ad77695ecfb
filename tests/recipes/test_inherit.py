"""Recipes that extend others: laid over, pruned, closed, and evaluated by their outcome."""

from __future__ import annotations

from typing import Any

import pytest

from exante import recipes
from exante.errors import InputError
from exante.recipes.inherit import extended

SHARED: dict[str, dict[str, Any]] = {
    "ground": {
        "settings": {"seed": 0, "rate": 1},
        "steps": {
            "base": {"stage": "source"},
            "prompts": {"stage": "source"},
            "unread": {"stage": "attack", "prompts": "prompts"},
        },
        "closing": {
            "suite": {"stage": "attack", "prompts": "prompts", "limits": {"harmful": 3}},
            "evaluation": {"each": {"base": {"of": "base"}}, "steps": {"sampled": {"of": "$of"}}},
            "latency": {"each": {}, "steps": {}},
            "report": {"stage": "report", "judged": "evaluation.sampled"},
        },
    },
    "middle": {
        "extends": "ground",
        "settings": {"rate": 2},
        "steps": {"start": {"stage": "sft", "policy": "base"}},
        "closing": {"evaluation": {"each": {"start": {"of": "start"}}}},
    },
}


def built(**document: Any) -> Any:
    return extended({"extends": "middle", "name": "mine", **document}, "mine.yaml", SHARED.get)


def test_own_steps_stand_between_what_is_extended_and_what_closes() -> None:
    found = built(steps={"trained": {"stage": "prefer", "policy": "start"}})
    assert list(found["steps"]) == [
        *("base", "prompts", "start", "trained"),
        *("suite", "evaluation", "latency", "report"),
    ]
    assert "extends" not in found
    assert "closing" not in found


def test_what_nobody_reads_is_left_out_but_ones_own_steps_stay() -> None:
    found = built(steps={"alone": {"stage": "source"}})
    assert "unread" not in found["steps"]
    assert "alone" in found["steps"]
    again = built(steps={"trained": {"stage": "sft", "prompts": "unread"}})
    assert "unread" in again["steps"]


def test_fields_are_laid_over_at_any_depth() -> None:
    found = built(settings={"seed": 5}, steps={"suite": {"limits": {"benign": 1}}})
    assert found["settings"] == {"seed": 5, "rate": 2}
    assert found["steps"]["suite"]["limits"] == {"harmful": 3, "benign": 1}
    assert list(found["steps"])[-1] == "report"
    assert SHARED["ground"]["closing"]["suite"]["limits"] == {"harmful": 3}


def test_the_outcome_is_evaluated_and_timed_under_the_recipes_name() -> None:
    outcome = {"of": "trained", "trace": "open"}
    found = built(outcome=outcome, steps={"trained": {"stage": "sft", "policy": "start"}})
    assert list(found["steps"]["evaluation"]["each"]) == ["base", "start", "mine"]
    assert found["steps"]["evaluation"]["each"]["mine"] == outcome
    assert found["steps"]["latency"]["each"] == {"mine": outcome}
    assert found["steps"]["report"]["recipe"] == "mine"


def test_a_recipe_that_extends_nothing_is_taken_as_it_is() -> None:
    document = {"name": "x", "steps": {}}
    assert extended(document, "x", SHARED.get) == document
    assert extended({**document, "extends": None}, "x", SHARED.get) == document
    assert extended({"name": "x", "extends": None}, "x", SHARED.get) == {"name": "x"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"extends": "nowhere"}, "nowhere is no recipe to extend"),
        ({"extends": "ground", "steps": []}, "`steps` is a mapping"),
        ({"extends": "loop"}, "loop extends itself"),
    ],
)
def test_mistakes_are_told(document: dict[str, Any], message: str) -> None:
    known = {**SHARED, "loop": {"extends": "loop", "steps": {}}}
    with pytest.raises(InputError, match=message):
        extended(document, "x.yaml", known.get)


def test_erpo_and_its_baseline_share_their_beginning_and_their_end() -> None:
    erpo, baseline = (recipes.load(name).raw["steps"] for name in ("erpo", "refusal_sft"))
    for step in ("base", "prompts", "training_prompts", "refusals", "refusal_sft", "suite"):
        assert erpo[step] == baseline[step]
    assert list(erpo["evaluation"]["each"]) == [
        *("base", "refusal_sft", "erpo_sft", "erpo_prefer", "erpo")
    ]


def test_shared_beginnings_are_no_recipes_to_choose() -> None:
    assert not {"measured", "labelled"} & set(recipes.built_in())
