"""What the command line makes of the options that were given, and of those that were not."""

from __future__ import annotations

from typing import Any

import pytest

from exante import recipes
from exante.workflows.evaluation import evaluation_recipe
from exante.workflows.performing import fitting

KNOWN = recipes.settings_of("erpo")


def test_options_that_were_not_given_leave_the_recipe_as_it_is() -> None:
    assert fitting(KNOWN, {"model": None, "seed": None}) == {}
    assert fitting({**KNOWN, "seed": 7}, {"seed": None}) == {}


def test_own_prompts_are_never_judged_by_the_miniature() -> None:
    found = fitting(KNOWN, {"data": "mine.csv"})
    assert (found["rules"], found["teacher"], found["judge"]) == ("general", "template", "strings")
    assert found["turn_tokens"] > KNOWN["turn_tokens"]
    assert "sft_rate" not in found


def test_an_own_model_is_trained_more_gently() -> None:
    found = fitting(KNOWN, {"model": "./mine"})
    assert found["sft_rate"] <= KNOWN["sft_rate"] / 10
    assert found["preference_rate"] <= KNOWN["preference_rate"] / 10
    assert "judge" not in found


def test_an_adapter_is_trained_faster_than_all_weights() -> None:
    full, lora = (fitting(KNOWN, {"model": "./m", "lora": lora}) for lora in (None, {"rank": 8}))
    assert lora["sft_rate"] == pytest.approx(10 * full["sft_rate"])
    assert lora["preference_rate"] == pytest.approx(10 * full["preference_rate"])
    assert "sft_rate" not in fitting(KNOWN, {"lora": {"rank": 8}})


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        (KNOWN, {"data": "mine.csv", "model": "./mine", "judge": "my.pack:Judge"}),
        ({**KNOWN, "judge": "my.pack:Judge", "sft_rate": 2e-5}, {"data": "a", "model": "./b"}),
        ({"data": "mine.csv", "judge": "my.pack:Judge", "model": "./mine"}, {}),
    ],
)
def test_what_was_asked_for_or_stands_in_the_recipe_stays(
    known: dict[str, Any], asked: dict[str, Any]
) -> None:
    settings = {**known, **fitting(known, asked)}
    assert settings["judge"] == "my.pack:Judge"
    assert settings.keys() == known.keys()
    if "sft_rate" in known and known["sft_rate"] != KNOWN["sft_rate"]:
        assert settings["sft_rate"] == known["sft_rate"]


def test_models_of_an_evaluation_keep_their_names_and_never_collide() -> None:
    steps = evaluation_recipe(["a/demo", "b/demo", "c/report"], {}, [])["steps"]
    sources = {name: step["model"] for name, step in steps.items() if "model" in step}
    assert sources == {"demo": "a/demo", "demo_2": "b/demo", "report_2": "c/report"}
    assert steps["report"]["stage"] == "report"
