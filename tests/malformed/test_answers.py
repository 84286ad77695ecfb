"""What models say, however malformed, is a verdict, defects or a complaint; nothing is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.fuzz.targets import _EXAMPLE, _RULESET, _TRACE
from tests.malformed import builders
from tests.malformed.corpus import Case, cases

from exante import traces
from exante.judges.formats import parse_llama_guard, parse_wildguard, parse_yes_no
from exante.judges.rubric import verdict_of
from exante.teachers import Assignment
from exante.teachers.policies import _read
from exante.teachers.speaking import _draft

_LEVEL = _TRACE.partition("</think>")[0].removeprefix("<think>")
_TAUGHT = f"[full]\n{_LEVEL}\n[brief]\n{_LEVEL}\n[terse]\n{_LEVEL}\n[answer]\nNo."


def _defects(text: str) -> list[str]:
    return list(traces.parse(text, clauses=_RULESET.clause_ids()).defects)


def _complaints(text: str) -> list[str]:
    return _draft(text, Assignment(_EXAMPLE, _RULESET)).wrong


def _fault(text: str) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        _read(text)
    return str(caught.value)


READERS: dict[str, Callable[[str], Any]] = {
    "rubric": verdict_of,
    "llama_guard": lambda text: parse_llama_guard(text).model_dump(mode="json"),
    "wildguard": lambda text: parse_wildguard(text).model_dump(mode="json"),
    "yes_no": lambda text: parse_yes_no(text).model_dump(mode="json"),
    "trace": _defects,
    "teacher": _complaints,
    "draft": _fault,
}


@pytest.mark.parametrize("case", cases("answers"), ids=lambda case: case.label)
def test_a_malformed_answer_is_read_for_what_it_is(case: Case) -> None:
    fields = case.fields
    if "make" in fields:
        text = builders.body(fields["make"]).decode()
    elif "swap_teacher" in fields:
        old, new = fields["swap_teacher"]
        assert old in _TAUGHT
        text = _TAUGHT.replace(old, new, 1)
    else:
        assert case.content is not None
        text = case.content.decode()
    found = READERS[fields["reader"]](text)
    expected = fields["gives"]
    if isinstance(expected, dict):
        assert {name: found[name] for name in expected} == expected
    else:
        assert found == expected


def test_what_they_are_made_from_is_read() -> None:
    assert verdict_of("It helps.\nverdict: complied; score: 4") is not None
    assert _defects(_TRACE) == _complaints(_TAUGHT) == []
