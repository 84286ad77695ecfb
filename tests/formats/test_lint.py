"""Every kind of trouble is found where it is, and clean rows are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from exante.formats.lint import CHECKS, LintSettings, lint
from exante.records import Example, Message, Response

LONG = "Tell the whole story of the long walk over the mountain in winter"


def response(text: str, **labels: Any) -> Response:
    return Response(text=text, **labels)


def example(prompt: str = "What is soup?", *responses: Response, **more: Any) -> Example:
    return Example(
        id="x",
        messages=(Message(role="user", content=prompt),),
        kind="benign",
        responses=responses,
        **more,
    )


def pair(better: int | None = 0, prompt: str = "What is soup?", **more: Any) -> Example:
    answers = response("A warm meal."), response("No idea at all.")
    return example(prompt, *answers, better=better, **more)


def found(*examples: Example, **settings: Any) -> dict[str, tuple[str, ...]]:
    rows = [(f"f:{line}", one) for line, one in enumerate(examples, start=1)]
    return {finding.name: finding.first for finding in lint(rows, LintSettings(**settings))}


SAFE, UNSAFE = response("No.", unsafe=False), response("Part A1.", unsafe=True)
CASES: dict[str, tuple[tuple[Example, ...], tuple[str, ...]]] = {
    "empty": ((example("a", response(" "), response("b"), better=1),), ("f:1",)),
    "over_long": ((example("a" * 20_000),), ("f:1",)),
    "identical": ((example("a", response("b  c"), response("b c"), better=1),), ("f:1",)),
    "unordered": ((example("a", response("b"), response("c")),), ("f:1",)),
    "unlabelled": ((pair(), pair(None, "Other?", safer=1)), ("f:1", "f:2")),
    "conflicting": ((example("a", response("b", unsafe=False, cost=2.0)),), ("f:1",)),
    "flipped": ((example("a", UNSAFE, SAFE, better=0),), ("f:1",)),
    "contradicting": ((pair(0), pair(1)), ("f:2 (against f:1)",)),
    "repeated": ((pair(), pair()), ("f:2 (as f:1)",)),
    "near_prompts": ((example(LONG), example(LONG + "s")), ("f:2 (like f:1)",)),
}


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "near_identical"])
def test_each_trouble_is_found_where_it_is(name: str) -> None:
    rows, places = CASES[name]
    assert found(*rows)[name] == places


def test_nearly_the_same_is_told_from_the_same() -> None:
    near = example("a", response(LONG + " again"), response(LONG + " agains"), better=0)
    assert found(near)["near_identical"] == ("f:1",)
    same = example("a", response(LONG), response(LONG), better=0)
    assert set(found(same)) == {"identical"}
    assert "near_identical" not in found(near, responses=1.0)


def test_clean_rows_are_left_alone() -> None:
    assert found(pair(0), pair(0, "Which soup is warm and green?")) == {}
    assert found(example("a"), example("Something else")) == {}
    assert found(example("a", SAFE, UNSAFE, safer=0)) == {}


@pytest.mark.parametrize(
    "row",
    [
        example("a", UNSAFE, SAFE, safer=0),
        example("a", response("b", cost=3.0), response("c", cost=1.0), safer=0),
        example("a", response("b", reward=1.0), response("c", reward=2.0), better=0),
        example("a", response("b", unsafe=True, cost=0.0)),
    ],
)
def test_labels_that_cannot_hold_together(row: Example) -> None:
    assert "conflicting" in found(row)


def test_costs_of_unsafe_answers_only_order_them() -> None:
    row = example("a", response("b", cost=1.0), response("c", cost=3.0), safer=0)
    assert found(row) == {}


def test_rewards_or_safety_order_a_pair_without_a_preference() -> None:
    assert found(example("a", SAFE, UNSAFE)) == {}
    assert found(example("a", response("b", reward=1.0), response("c", reward=2.0))) == {}
    assert "unordered" in found(example("a", response("b", reward=1.0), response("c", reward=1.0)))


def test_a_missing_label_is_one_that_other_rows_have() -> None:
    rows = example("a", SAFE), example("b", response("Yes."))
    assert found(*rows)["unlabelled"] == ("f:2",)


def test_contradictions_know_the_prompt_and_the_respect() -> None:
    assert "contradicting" not in found(pair(0), pair(1, "Another prompt?"))
    assert "contradicting" not in found(pair(0), pair(None, safer=1))
    assert found(pair(None, safer=0), pair(None, safer=1))["contradicting"]
    swapped = example(
        "What is soup?", response("No idea at all."), response("A warm meal."), better=0
    )
    assert found(pair(0), swapped)["contradicting"] == ("f:2 (against f:1)",)
    assert found(pair(0), swapped)["repeated"] == ("f:2 (as f:1)",)
    same = example("What is soup?", response("A meal."), response("A  meal."), better=0)
    assert "contradicting" not in found(same, same)


def test_only_the_first_places_are_named_but_all_are_counted() -> None:
    rows = [(f"f:{line}", example("a", response(""))) for line in range(9)]
    (finding,) = [f for f in lint(rows, LintSettings()) if f.name == "empty"]
    assert (finding.rows, len(finding.first)) == (9, 5)
