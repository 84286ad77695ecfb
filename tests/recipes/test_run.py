"""How recipes are performed: rounds, gates, retries, labels, reuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.recipes import fakes
from tests.recipes.fakes import Heard

from exante.errors import ArtefactError, InputError
from exante.recipes.plan import build
from exante.recipes.run import perform_recipe

NUMBER, GATE = "tests.recipes.fakes:NUMBER", "tests.recipes.fakes:GATE"


def loop(limit: int, rounds: int = 3) -> dict[str, Any]:
    return {
        "settings": {},
        "steps": {
            "start": {"stage": NUMBER, "add": 1},
            "first": {"stage": GATE, "before": "start", "after": "start"},
            "rounds": {
                "repeat": rounds,
                "carry": {"policy": ["first", "gate"], "last_gate": ["first", "gate"]},
                "gate": "gate",
                "retry": "tuned",
                "steps": {
                    "sampled": {"stage": NUMBER, "before": "policy"},
                    "tuned": {"stage": NUMBER, "before": "sampled", "gate": "last_gate", "add": 5},
                    "gate": {"stage": GATE, "before": "policy", "after": "tuned", "limit": limit},
                },
            },
            "end": {"stage": NUMBER, "before": "rounds.policy"},
            "all": {"stage": NUMBER, "before": "rounds.tuned"},
        },
    }


def test_rounds_carry_what_they_made(tmp_path: Path) -> None:
    scope = perform_recipe(build(loop(1000), "t"), tmp_path, Heard())
    assert fakes.value_of(scope["end"]) == 1 + 3 * 5
    assert fakes.value_of(scope["all"]) == 6 + 11 + 16


def test_a_rejected_round_is_made_once_more_with_less_and_then_counts(tmp_path: Path) -> None:
    heard = Heard()
    scope = perform_recipe(build(loop(10, rounds=2), "t"), tmp_path, heard)
    names = [name for name, _ in heard.finished_steps]
    assert "rounds-2-tuned" in names
    assert "rounds-2b-tuned" in names
    assert "rounds-2b-sampled" not in names
    assert fakes.value_of(scope["end"]) == 6 + 5 - 10


def test_two_rejections_end_the_loop_and_the_last_good_model_stays(tmp_path: Path) -> None:
    heard = Heard()
    scope = perform_recipe(build(loop(-5), "t"), tmp_path, heard)
    names = [name for name, _ in heard.finished_steps]
    assert "rounds-1b-gate" in names
    assert not any(name.startswith("rounds-2") for name in names)
    assert fakes.value_of(scope["end"]) == 1


def test_each_gives_results_by_label(tmp_path: Path) -> None:
    document = {
        "steps": {
            "a": {"stage": NUMBER, "add": 1},
            "b": {"stage": NUMBER, "add": 2},
            "many": {
                "each": {"one": {"of": "a", "plus": 10}, "two": {"of": "b", "plus": 20}},
                "steps": {"more": {"stage": NUMBER, "before": "$of", "add": "$plus"}},
            },
            "sum": {"stage": NUMBER, "before": "many.more"},
        }
    }
    scope = perform_recipe(build(document, "t"), tmp_path, Heard())
    many = scope["many.more"]
    assert isinstance(many, dict)
    assert fakes.value_of(many["two"]) == 22
    assert fakes.value_of(scope["sum"]) == 33


def test_the_same_command_again_makes_nothing_again(tmp_path: Path) -> None:
    perform_recipe(build(loop(10, rounds=2), "t"), tmp_path, Heard())
    heard = Heard()
    perform_recipe(build(loop(10, rounds=2), "t"), tmp_path, heard)
    assert all(reused for _, reused in heard.finished_steps)


def test_changed_settings_never_reuse_silently(tmp_path: Path) -> None:
    perform_recipe(build(loop(10), "t"), tmp_path, Heard())
    document = loop(10)
    document["steps"]["start"]["add"] = 2
    with pytest.raises(ArtefactError, match=r"config\.add"):
        perform_recipe(build(document, "t"), tmp_path, Heard())


def test_until_stops_after_a_step_a_group_or_a_stage(tmp_path: Path) -> None:
    heard = Heard()
    perform_recipe(build(loop(1000), "t"), tmp_path, heard, until="first")
    assert [name for name, _ in heard.finished_steps] == ["start", "first"]
    perform_recipe(build(loop(1000), "t"), tmp_path, heard, until="rounds")
    assert not (tmp_path / "end").exists()
    with pytest.raises(InputError, match="did you mean 'rounds'"):
        perform_recipe(build(loop(1000), "t"), tmp_path, heard, until="round")


def test_until_knows_the_steps_of_a_group_by_their_full_names(tmp_path: Path) -> None:
    heard = Heard()
    document = loop(1000)
    document["steps"]["sampled"] = {"stage": NUMBER, "before": "rounds.policy"}
    perform_recipe(build(document, "t"), tmp_path, heard, until="rounds.tuned")
    assert heard.finished_steps[-1] == ("rounds-1-tuned", False)
    perform_recipe(build(document, "t"), tmp_path, heard, until="sampled")
    assert heard.finished_steps[-1] == ("sampled", False)


def test_a_loops_gate_that_is_none_is_named(tmp_path: Path) -> None:
    document = loop(1000)
    document["steps"]["rounds"]["gate"] = "tuned"
    with pytest.raises(ArtefactError, match=r"rounds-1-tuned: holds no gate\.json\n.*a gate step"):
        perform_recipe(build(document, "t"), tmp_path, Heard())
