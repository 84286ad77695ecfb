"""Rule sets: the built-in ones are sound, and a broken one is shown to the line."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import ValidationError

from exante import rules
from exante.errors import InputError
from exante.rules import RuleSet
from exante.traces import Check, Trace, parse, render

SMALL = dedent("""\
    # a comment
    version: 1
    name: small
    categories:
      - id: A
        title: First
        definition: the first risk
        prohibited:
          - {id: A.1, text: not this}
        allowed:
          - {id: A.a1, text: but that}
      - id: B
        title: Second
        definition: the second risk
        prohibited:
          - id: B.1
            text: never
        default_decision: redirect
        style:
          redirect: kindly
    general:
      - {id: G.1, text: always}
    """)


def small() -> RuleSet:
    return rules.parse(SMALL, where="small.yaml")


def problem_of(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        rules.parse(text, where="f.yaml")
    return caught.value


@pytest.mark.parametrize("name", rules.BUILT_IN)
def test_built_in_rules_offer_prohibited_and_allowed_clauses(name: str) -> None:
    ruleset = rules.load(name)
    assert ruleset.name == name
    for category in ruleset.categories:
        assert len(category.prohibited) >= 2
        assert len(category.allowed) >= 2
        assert category.default_decision in category.style


@pytest.mark.parametrize("name", rules.BUILT_IN)
def test_every_built_in_clause_can_be_cited(name: str) -> None:
    ruleset = rules.load(name)
    for category in ruleset.categories:
        checks = tuple(Check(clause.id, "not-met", clause.text) for clause in category.clauses)
        trace = Trace("about " + category.title, category.id, checks, "redirect")
        found = parse(render(trace), clauses=ruleset.clause_ids())
        assert found.valid
        assert found.trace == trace


def test_the_general_rules_cover_the_taxonomy_of_llama_guard() -> None:
    codes = [category.taxonomy["llama_guard"] for category in rules.load("general").categories]
    assert codes == [f"S{number}" for number in range(1, 15)]


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    assert rules.load(path) == rules.load(str(path)) == small()


def test_clause_ids_by_category_and_altogether() -> None:
    assert small().clause_ids("A") == {"A.1", "A.a1"}
    assert small().clause_ids(None) == {"A.1", "A.a1", "B.1", "G.1"}


def test_an_unknown_category_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown risk category 'C'") as caught:
        small().category("C")
    assert caught.value.fix == "known: A, B"


def test_the_hash_is_of_what_is_said_not_of_how_it_is_written() -> None:
    other_layout = SMALL.replace("# a comment\n", "").replace("name: small", "name:   'small'")
    assert rules.parse(other_layout, where="").hash == small().hash
    assert rules.parse(SMALL.replace("never", "seldom"), where="").hash != small().hash


def test_rendered_rules_name_every_clause() -> None:
    text = rules.render(small())
    assert all(f"- {identity}: " in text for identity in small().clause_ids())
    assert "When a clause is violated: redirect.\nTo redirect: kindly" in text


def test_one_category_is_rendered_with_the_general_clauses_only() -> None:
    text = rules.render(small(), "B")
    assert "- B.1: never" in text
    assert "- G.1: always" in text
    assert "A.1" not in text


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("id: B\n", "id: A\n", 12, "categories.1.id: duplicate id 'A', first used at categories.0"),
        ("{id: G.1", "{id: A.1", 22, "general.0.id: duplicate id 'A.1'"),
        ("id: B.1", "id: C.1", 16, "'C.1' does not begin with 'B.', the id of its category"),
        ("id: B.1", "id: B.", 16, "'B.' does not begin with 'B.'"),
        ("{id: A.1", '{id: "A.1]"', 9, "'A.1]' is no id"),
        ("        text: never", "        txet: never", 17, "prohibited.0.txet: no such field"),
        ("        text: never", "", 16, "categories.1.prohibited.0.text: Field required"),
        ("text: never", "text: 7", 17, "categories.1.prohibited.0.text: Input should be a valid s"),
        ("redirect\n", "shout\n", 18, "categories.1.default_decision: Input should be"),
        ("version: 1", "version: 0", 2, "version: Input should be greater"),
        ("title: Second", "titel: Second", 13, "categories.1.titel: no such field"),
        ("text: never", "text: [never", 18, "is no YAML"),
        ("name: small", "name: small\nname: big", 4, "name: stands twice"),
        ("text: never", "text: never\n        text: ever", 18, "text: stands twice"),
    ],
)
def test_a_mistake_is_shown_to_the_line_and_field(old: str, new: str, line: int, says: str) -> None:
    assert SMALL.count(old) == 1
    error = problem_of(SMALL.replace(old, new))
    assert error.where == f"f.yaml:{line}"
    assert says in error.problem
    assert error.fix


@pytest.mark.parametrize("text", ["", "- a list", "just text"])
def test_other_documents_are_no_rule_sets(text: str) -> None:
    assert "no mapping" in problem_of(text).problem


@pytest.mark.parametrize(
    "text", ["a: 2024-99-99", "a: &a [*a]", "a: !!python/object:os.system {}", "\x00", "? [b]\n: c"]
)
def test_odd_yaml_is_a_mistake_and_never_a_crash(text: str) -> None:
    assert problem_of(text).where is not None


def test_a_category_without_clauses_is_refused() -> None:
    """A trace could name it and then cite nothing."""
    text = SMALL.split("general:")[0] + "  - {id: C, title: Third, definition: nothing}\n"
    assert "category C has no clause" in problem_of(text).problem


def test_rules_made_in_code_are_checked_alike() -> None:
    content = small().model_dump()
    content["general"] = [{"id": "A.1", "text": "again"}]
    with pytest.raises(ValidationError, match="duplicate id 'A.1'"):
        RuleSet.model_validate(content)


def test_an_unknown_name_lists_the_built_in_ones() -> None:
    with pytest.raises(InputError, match="unknown rule set 'generall'") as caught:
        rules.load("generall")
    assert caught.value.fix == "did you mean 'general'? known: general, miniature"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        rules.load(tmp_path / "none.yaml")
    assert str(tmp_path / "none.yaml") in str(caught.value)
