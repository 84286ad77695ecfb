"""What changed from one rule set to another, clause by clause."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from exante.records import Record
from exante.rules import RuleSet

Change = Literal["added", "removed", "changed", "moved"]


class Amendment(Record):
    """One clause or category that is not what it was."""

    change: Change
    """`moved`: the same words under another id, or under the other heading."""
    id: str
    """In the new rule set; of what was removed, in the old one."""
    was: str = ""
    """The id in the old rule set, where it is another one."""
    before: str = ""
    after: str = ""


class _Place(Record):
    """Where a clause stands, and what it says."""

    id: str
    under: str
    """Category and heading."""
    text: str


def amendments(old: RuleSet, new: RuleSet) -> list[Amendment]:
    """Everything that differs, in the order of the new rule set, then what was removed."""
    before = {place.id: place for place in _places(old)}
    after = {place.id: place for place in _places(new)}
    gone = [place for key, place in before.items() if key not in after]
    found: list[Amendment] = []
    for key, place in after.items():
        known = before.get(key)
        if known is None:
            moved = next((one for one in gone if one.text == place.text), None)
            if moved is None:
                found.append(Amendment(change="added", id=key, after=place.text))
            else:
                gone.remove(moved)
                found.append(Amendment(change="moved", id=key, was=moved.id, after=place.text))
        elif known.text != place.text:
            found.append(Amendment(change="changed", id=key, before=known.text, after=place.text))
        elif known.under != place.under:
            found.append(Amendment(change="moved", id=key, was=key, after=place.text))
    found += [Amendment(change="removed", id=one.id, before=one.text) for one in gone]
    return found


def _places(ruleset: RuleSet) -> Iterable[_Place]:
    """Clauses, and categories by what they say beside their clauses."""
    for category in ruleset.categories:
        said = category.model_dump(exclude={"prohibited", "allowed", "id", "taxonomy"})
        text = "; ".join(f"{name}: {value}" for name, value in said.items() if value)
        yield _Place(id=category.id, under="", text=text)
        for heading, clauses in (
            ("prohibited", category.prohibited),
            ("allowed", category.allowed),
        ):
            for clause in clauses:
                yield _Place(id=clause.id, under=f"{category.id} {heading}", text=clause.text)
    for clause in ruleset.general:
        yield _Place(id=clause.id, under="general", text=clause.text)
