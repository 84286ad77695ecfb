"""What changed from one rule set to another."""

from __future__ import annotations

from exante.amendments import Amendment, amendments
from exante.rules import Category, Clause, RuleSet


def clause(identity: str, text: str) -> Clause:
    return Clause(id=identity, text=text)


def ruleset(*categories: Category, general: tuple[Clause, ...] = ()) -> RuleSet:
    return RuleSet(version=1, name="r", categories=categories, general=general)


LOCKS = Category(
    id="A",
    title="Locks",
    definition="About locks.",
    prohibited=(clause("A.1", "one"), clause("A.2", "two")),
    allowed=(clause("A.a1", "three"),),
)


def test_the_same_rules_differ_in_nothing() -> None:
    old = ruleset(LOCKS)
    assert amendments(old, old.model_copy(update={"version": 9})) == []


def test_clauses_are_added_removed_changed_and_moved() -> None:
    new = Category(
        id="A",
        title="Locks",
        definition="About locks.",
        prohibited=(clause("A.1", "ONE"), clause("A.7", "three")),
        allowed=(clause("A.a2", "four"),),
    )
    assert amendments(ruleset(LOCKS), ruleset(new)) == [
        Amendment(change="changed", id="A.1", before="one", after="ONE"),
        Amendment(change="moved", id="A.7", was="A.a1", after="three"),
        Amendment(change="added", id="A.a2", after="four"),
        Amendment(change="removed", id="A.2", before="two"),
    ]


def test_a_clause_that_is_now_allowed_has_moved() -> None:
    new = LOCKS.model_copy(update={"prohibited": (clause("A.1", "one"),)})
    new = new.model_copy(update={"allowed": (clause("A.2", "two"), *LOCKS.allowed)})
    assert amendments(ruleset(LOCKS), ruleset(new)) == [
        Amendment(change="moved", id="A.2", was="A.2", after="two")
    ]


def test_what_a_category_says_is_compared_too() -> None:
    new = LOCKS.model_copy(update={"definition": "About doors."})
    (found,) = amendments(ruleset(LOCKS), ruleset(new))
    assert (found.change, found.id) == ("changed", "A")
    assert "About doors." in found.after
    added = amendments(ruleset(LOCKS), ruleset(LOCKS, general=(clause("G.1", "always"),)))
    assert [one.id for one in added] == ["G.1"]


def test_equal_clauses_are_moved_once_each() -> None:
    twice = LOCKS.model_copy(update={"prohibited": (clause("A.1", "one"), clause("A.2", "one"))})
    new = LOCKS.model_copy(update={"prohibited": (clause("A.3", "one"),)})
    found = amendments(ruleset(twice), ruleset(new))
    assert [(one.change, one.id) for one in found] == [("moved", "A.3"), ("removed", "A.2")]
