"""Methods as one plan: what is equal is made once, what differs bears the method's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.recipes import fakes
from tests.recipes.fakes import Heard

from exante.errors import InputError
from exante.recipes.plan import build
from exante.recipes.run import perform_recipe
from exante.recipes.unite import united

NUMBER, GATE = "tests.recipes.fakes:NUMBER", "tests.recipes.fakes:GATE"


def method(add: int, **settings: Any) -> dict[str, Any]:
    """Two steps that all methods share, and two that depend on `add`."""
    return {
        "settings": {"start": 1, **settings},
        "steps": {
            "base": {"stage": NUMBER, "add": "$start"},
            "answers": {"stage": NUMBER, "before": "base", "add": 10},
            "pairs": {"stage": NUMBER, "before": "answers", "add": add},
            "tuned": {"stage": NUMBER, "before": ["base", "pairs"], "add": 100},
            "unread": {"stage": NUMBER, "before": "tuned"},
        },
        "outcome": {"of": "tuned"},
    }


def made(documents: dict[str, dict[str, Any]], folder: Path) -> tuple[dict[str, int], list[str]]:
    """What the outcomes hold when the united plan is performed, and the names of its steps."""
    plan, heard = united(documents), Heard()
    recipe = build({"steps": plan.steps}, "united")
    scope = perform_recipe(recipe, folder, heard)
    values = {name: fakes.value_of(scope[end["of"]]) for name, end in plan.outcomes.items()}
    return values, [name for name, _ in heard.finished_steps]


def test_equal_steps_are_made_once_and_others_bear_the_methods_name(tmp_path: Path) -> None:
    values, names = made({"a": method(1), "b": method(2)}, tmp_path)
    assert names == ["base", "answers", "a_pairs", "a_tuned", "b_pairs", "b_tuned"]
    assert values == {"a": 1 + 12 + 100, "b": 1 + 13 + 100}


def test_every_method_makes_what_it_makes_alone(tmp_path: Path) -> None:
    methods = {"a": method(1), "b": method(2), "c": method(1, start=5)}
    together, _ = made(methods, tmp_path / "all")
    for name, document in methods.items():
        alone, _ = made({name: document}, tmp_path / name)
        assert alone[name] == together[name]


def test_what_was_made_keeps_its_name_when_another_method_comes(tmp_path: Path) -> None:
    first = {"a": method(1), "b": method(2)}
    both = {**first, "c": method(2)}
    known = united(first).known
    assert united(both).names["b"]["pairs"] == "pairs"
    later = united(both, known=known)
    assert later.names["b"] == later.names["c"] == united(first).names["b"]
    made(first, tmp_path)
    heard = Heard()
    perform_recipe(build({"steps": later.steps}, "united"), tmp_path, heard)
    assert all(kept for _, kept in heard.finished_steps)
    # And when it is gone, and comes again.
    alone = united({"a": method(1)}, known=later.known)
    assert list(alone.steps) == ["base", "answers", "a_pairs", "a_tuned"]
    assert united(both, known=alone.known) == later


def test_a_name_that_is_known_is_no_one_elses(tmp_path: Path) -> None:
    known = united({"a": method(1), "b": method(1)}).known
    assert "pairs" in known.values()
    plan = united({"a": method(1), "b": method(2), "c": method(2)}, known=known)
    assert plan.names["a"]["pairs"] == "pairs"
    assert plan.names["b"]["pairs"] == plan.names["c"]["pairs"] == "b_pairs"


def test_a_step_with_the_same_words_but_other_inputs_is_another_step() -> None:
    plan = united({"a": method(1), "b": method(1), "c": method(1, start=5)})
    assert plan.names["a"] == plan.names["b"]
    assert plan.names["a"]["tuned"] == "tuned"
    assert plan.names["c"] == {n: f"c_{n}" for n in ("base", "answers", "pairs", "tuned")}


def test_settings_are_filled_in_and_only_their_values_count() -> None:
    other = method(1, start=1, unused=7)
    assert united({"a": method(1), "b": other}).steps == united({"a": method(1)}).steps


def test_one_method_keeps_its_names_and_loses_what_nothing_reads() -> None:
    assert list(united({"a": method(1)}).steps) == ["base", "answers", "pairs", "tuned"]


def test_reserved_names_and_collisions_are_avoided() -> None:
    document = method(1)
    plan = united({"a": document, "b": document}, reserved=["base"])
    assert "base" not in plan.steps
    assert plan.steps[plan.names["a"]["answers"]]["before"] == plan.names["a"]["base"]
    document["steps"] = {"a_pairs": {"stage": NUMBER, "add": 3}, **document["steps"]}
    document["steps"]["tuned"]["before"] = ["pairs", "a_pairs"]
    names = united({"a": document, "a_a": method(2)}).names
    every = [name for own in names.values() for name in own.values()]
    assert len(set(every)) == len({*names["a"].values()} | {*names["a_a"].values()})
    assert names["a"]["pairs"] != names["a"]["a_pairs"]


def test_loops_keep_their_inside_and_find_their_outside(tmp_path: Path) -> None:
    def loop(add: int) -> dict[str, Any]:
        document = method(add)
        document["steps"]["rounds"] = {
            "repeat": "$count",
            "carry": {"policy": ["tuned", "more"]},
            "steps": {
                "sampled": {"stage": NUMBER, "before": "answers"},
                "more": {"stage": NUMBER, "before": ["policy", "sampled"]},
            },
        }
        document["settings"]["count"] = 2
        return {**document, "outcome": {"of": "rounds.policy", "trace": "open"}}

    values, names = made({"a": loop(1), "b": loop(2)}, tmp_path)
    assert values == {"a": 113 + 2 * 11, "b": 114 + 2 * 11}
    assert "a_rounds-2-more" in names
    outcome = united({"a": loop(1), "b": loop(2)}).outcomes["b"]
    assert outcome == {"of": "b_rounds.policy", "trace": "open"}


def test_groups_find_the_steps_that_their_names_stand_for(tmp_path: Path) -> None:
    def group(add: int) -> dict[str, Any]:
        document = method(add)
        document["steps"]["many"] = {
            "each": {"x": {"of": "tuned", "add": 1}, "y": {"of": "base", "add": 2}},
            "steps": {"more": {"stage": NUMBER, "before": "$of", "add": "$add"}},
        }
        document["steps"]["sum"] = {"stage": NUMBER, "before": "many.more"}
        return {**document, "outcome": {"of": "sum"}}

    values, _ = made({"a": group(1), "b": group(2)}, tmp_path)
    assert values == {"a": 114 + 3, "b": 115 + 3}


@pytest.mark.parametrize("outcome", [None, {"of": "tunde"}, {}])
def test_a_recipe_without_an_outcome_is_named(outcome: dict[str, str] | None) -> None:
    with pytest.raises(InputError, match=r"b: names no model as its outcome"):
        united({"a": method(1), "b": {**method(2), "outcome": outcome}})
