"""Messages: what, where, and the way out."""

from __future__ import annotations

import pytest

from exante.errors import ArtefactError, ExanteError, InputError, RunError, unknown_name


def test_a_message_has_place_problem_and_way_out() -> None:
    error = InputError("is empty", where="data.jsonl:3", fix="add a prompt")
    assert str(error) == "data.jsonl:3: is empty\n  fix: add a prompt"
    assert (error.problem, error.where, error.fix) == ("is empty", "data.jsonl:3", "add a prompt")


def test_place_and_way_out_may_be_absent() -> None:
    assert str(RunError("stopped")) == "stopped"


@pytest.mark.parametrize(
    ("kind", "code"), [(InputError, 2), (ArtefactError, 2), (RunError, 1), (ExanteError, 1)]
)
def test_exit_codes_tell_mistakes_from_failures(kind: type[ExanteError], code: int) -> None:
    assert kind("x").exit_code == code


def test_an_unknown_name_lists_the_known_ones_nearest_first() -> None:
    error = unknown_name("judge", "orcale", ["strings", "oracle"])
    assert error.problem == "unknown judge 'orcale'"
    assert error.fix == "did you mean 'oracle'? known: oracle, strings"


def test_nothing_is_guessed_when_nothing_is_near() -> None:
    assert unknown_name("judge", "zzz", ["oracle"]).fix == "known: oracle"
