"""Recipes are checked as a whole before anything runs, and errors name step and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exante import recipes
from exante.errors import InputError
from exante.recipes.plan import Repeat, build, changed, filled, parsed
from exante.training import TrainSettings


@pytest.mark.parametrize("name", recipes.built_in())
def test_every_built_in_recipe_is_sound_and_describes_itself(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.name == name
    assert recipe.summary
    assert recipe.paper
    assert recipe.badge in ("exact", "adapted", "approximated")


def test_erpo_is_three_stages_and_an_evaluation() -> None:
    stages = [step.stage.name for _, step in recipes.steps_of(recipes.load("erpo"))]
    for needed in ("reason", "sft", "prefer", "gate", "attack", "sample", "judge", "report"):
        assert needed in stages
    (loop,) = (n for n in recipes.load("erpo").nodes if isinstance(n, Repeat))
    assert loop.rounds == 2
    assert loop.gate == "gate"


def test_settings_and_fields_can_be_changed_at_any_depth() -> None:
    changes = {"shortened.repeat": 1, "tuned.loss.beta": 0.3, "shortened.tuned.train.epochs": 2}
    recipe = recipes.load("erpo", {"seed": 7}, changes)
    steps = dict(recipes.steps_of(recipe))
    assert recipe.settings["seed"] == 7
    assert steps["tuned"].config["loss"]["beta"] == 0.3
    assert steps["shortened.tuned"].config["train"]["epochs"] == 2


def trainings(recipe: recipes.Recipe) -> dict[str, TrainSettings]:
    """The settings of every step that trains."""
    names = {**recipe.settings, "round": 1}
    found = {n: s for n, s in recipes.steps_of(recipe) if "train" in s.stage.config.model_fields}
    return {name: parsed(step, names, name).train for name, step in found.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", recipes.built_in())
def test_one_setting_makes_adapters_of_every_training(name: str) -> None:
    plain = trainings(recipes.load(name))
    assert all("lora" not in train.model_dump() for train in plain.values())
    if plain:
        trained = trainings(recipes.load(name, {"lora": {"rank": 8}}))
        assert {train.lora.rank for train in trained.values() if train.lora} == {8}
        assert all(train.lora for train in trained.values())


def test_a_field_of_what_a_setting_stands_for_can_be_changed() -> None:
    found = trainings(recipes.load("erpo", None, {"taught.train.lora.rank": 4}))
    assert {name for name, train in found.items() if train.lora} == {"taught"}
    settings, changes = {"lora": {"rank": 8}}, {"tuned.train.lora.dropout": 0.1}
    found = trainings(recipes.load("erpo", settings, changes))
    assert {train.lora.rank for train in found.values() if train.lora} == {8}
    assert [n for n, t in found.items() if t.lora and t.lora.dropout] == ["tuned"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuned.train.lora.rank": 0}, r"tuned\.train\.lora\.rank: Input should be greater than"),
        ({"tuned.train.lora.rnk": 8}, r"tuned\.train\.lora: unknown setting 'rnk'"),
        ({"tuned.train.seed.rank": 8}, r"seed is a single value"),
        ({"tunde.loss.beta": 1}, r"unknown step 'tunde'.*\n.*did you mean 'tuned'"),
        ({"tuned.trian": {}}, r"tuned: unknown setting 'trian'.*\n.*did you mean 'train'"),
        ({"tuned.loss.beta": -1}, r"tuned\.loss\.beta: Input should be greater than 0"),
        ({"sed": 1}, r"unknown setting 'sed'.*\n.*did you mean 'seed'"),
        ({"tuned.policy": "tought"}, r"tuned: unknown step 'tought'.*\n.*did you mean 'taught'"),
        ({"tuned.stage": "prefr"}, r"tuned: unknown stage 'prefr'.*\n.*did you mean 'prefer'"),
    ],
)
def test_mistakes_are_named_with_the_nearest_known_word(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        recipes.load("erpo", changes=changes)


def test_unknown_recipe_and_unreadable_file() -> None:
    with pytest.raises(InputError, match=r"unknown recipe 'erp'.*\n.*did you mean 'erpo'"):
        recipes.load("erp")
    with pytest.raises(InputError, match="cannot be read"):
        recipes.load("./nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [", r"x\.yaml:\d"),
        ("hello", "a recipe is a mapping"),
        ("steps: {a: {}}", r"x\.yaml: a: a step needs a `stage`"),
        ("stepz: {}\nsteps: {}", "unknown field 'stepz'"),
    ],
)
def test_broken_files_are_located(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        recipes.load(str(path))


def test_a_copy_is_an_equal_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(recipes.source_text("erpo"))
    assert dict(recipes.load(str(path)).raw) == dict(recipes.load("erpo").raw)


def test_changing_leaves_the_document_alone() -> None:
    document = {"settings": {"a": 1}, "steps": {"s": {"stage": "x"}}}
    assert changed(document, {"a": 2, "s.b.c": 3}, "d")["steps"]["s"]["b"] == {"c": 3}
    assert document == {"settings": {"a": 1}, "steps": {"s": {"stage": "x"}}}


def test_a_change_of_one_step_changes_no_other_that_is_written_by_an_alias() -> None:
    changes = {"helpful.train.epochs": 7, "safe.loss.beta": 0.7}
    found = dict(recipes.steps_of(recipes.load("pecan", changes=changes)))
    assert {n: found[n].config["train"]["epochs"] for n in ("helpful", "safe", "tuned")} == {
        "helpful": 7, "safe": 3, "tuned": 3,
    }  # fmt: skip
    assert [found[n].config["loss"]["beta"] for n in ("helpful", "safe")] == [0.1, 0.7]


@pytest.mark.parametrize("settings", [None, ["seed"], "seed"])
def test_settings_that_are_no_mapping_are_told_whatever_is_changed(settings: Any) -> None:
    step: Any = {"stage": "source", "data": "miniature"}
    document = {"settings": settings, "steps": {"a": step, "b": {"repeat": 1, "steps": None}}}
    with pytest.raises(InputError, match="unknown setting 'seed'"):
        changed(document, {"seed": 1}, "x.yaml")
    made = changed(document, {"a.filters.x": 1, "b.c.d": 1}, "x.yaml")
    with pytest.raises(InputError, match=r"x\.yaml\.settings"):
        build(made, "x.yaml")


def test_names_are_filled_at_any_depth() -> None:
    assert filled({"a": ["$x", {"b": "$y"}]}, {"x": 1, "y": None}, "d") == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/tmp/x",
        "a/b",
        "..",
        ".",
        ".lock",
        "a\\b",
        "a\n",
        "a.",
        "a.partial",
        "",
        "x" * 101,
        "\x1b",
    ],
)
def test_names_of_steps_and_labels_are_folders_of_the_run(name: str) -> None:
    step: Any = {"stage": "source", "data": "miniature"}
    for steps in (
        {name: step},
        {"loop": {"repeat": 1, "steps": {name: step}}},
        {"group": {"each": {"label": {}}, "steps": {name: step}}},
        {"group": {"each": {name: {}}, "steps": {"one": step}}},
    ):
        with pytest.raises(InputError, match="can be no name of a folder"):
            build({"steps": steps}, "recipe.yaml")
    build({"steps": {"a-b_c.1": step, "été 2": step, "me@v2+x": step}}, "recipe.yaml")
