"""Rule sets: risk categories with clauses that can be cited; load, check, render, hash.

Who is judged by them, and how, is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from exante import documents
from exante.documents import Place
from exante.errors import unknown_name

BUILT_IN = ("general", "miniature")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FIX = "see `exante rules show general` for the form of a rule set"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Clause(_Part):
    """One sentence that a trace can cite."""

    id: str
    text: str = Field(min_length=1)


class Category(_Part):
    """One kind of risk: what is prohibited, and what is allowed although it looks alike."""

    id: str
    title: str = Field(min_length=1)
    definition: str
    prohibited: tuple[Clause, ...] = ()
    allowed: tuple[Clause, ...] = ()
    """These fight over-refusal: near the risk, and fine."""
    default_decision: Literal["refuse", "redirect"] = "refuse"
    """What to do with a request that violates a clause."""
    style: dict[str, str] = Field(default_factory=dict)
    """Decision -> how an answer that follows it should sound."""
    taxonomy: dict[str, str] = Field(default_factory=dict)
    """Name of another taxonomy -> its code or codes for this category."""

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """All clauses, the prohibited ones first."""
        return self.prohibited + self.allowed


class RuleSet(_Part):
    """The rules a model is to reason about, identified by the hash of what they say."""

    version: int = Field(ge=1)
    name: str = Field(min_length=1)
    categories: tuple[Category, ...] = Field(min_length=1)
    general: tuple[Clause, ...] = ()
    """Clauses that hold in every category."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for place, problem in _contradictions(self):
            raise PydanticCustomError(
                "rule_set", "{problem}", {"problem": problem, "place": list(place)}
            )
        return self

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content, whatever the file's layout and comments; hex."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def only(self, categories: Collection[str | None]) -> RuleSet:
        """The named categories and the general clauses, as version 1 whatever this one is.

        Its hash is that of the clauses: it stays when rules elsewhere change.
        """
        kept = tuple(one for one in self.categories if one.id in categories)
        return RuleSet(version=1, name=self.name, categories=kept, general=self.general)

    def category(self, category_id: str) -> Category:
        """The category of that id.

        Raises:
            InputError: there is none; lists those there are.
        """
        for category in self.categories:
            if category.id == category_id:
                return category
        known = [category.id for category in self.categories]
        raise unknown_name("risk category", category_id, known, where=f"rule set {self.name}")

    def clause_ids(self, category_id: str | None = None) -> frozenset[str]:
        """Ids of the clauses of one category; of all categories and the general ones for None."""
        if category_id is not None:
            return frozenset(clause.id for clause in self.category(category_id).clauses)
        of_categories = (clause for category in self.categories for clause in category.clauses)
        return frozenset(clause.id for clause in (*of_categories, *self.general))


def load(name_or_path: str | Path) -> RuleSet:
    """A built-in rule set by name, or the one in a YAML file.

    Raises:
        InputError: no such file, no YAML, or no sound rule set; names file, line and field.
    """
    name = str(name_or_path)
    if name in BUILT_IN:
        resource = files("exante").joinpath("rule_sets", f"{name}.yaml")
        return parse(resource.read_text(encoding="utf-8"), where=f"{name}.yaml")
    path = Path(name_or_path)
    if not path.exists() and path.suffix not in (".yaml", ".yml") and path.name == name:
        raise unknown_name("rule set", name, BUILT_IN)
    return documents.read(path, RuleSet, fix=_FIX)


def parse(text: str, *, where: str) -> RuleSet:
    """The rule set that a YAML text describes; `where` is its name in messages.

    Raises:
        InputError: as `load`.
    """
    return documents.parse(text, RuleSet, where=where, fix=_FIX)


def render(ruleset: RuleSet, category: str | None = None) -> str:
    """The rules as plain text for a system prompt: all of them, or one category and the general.

    Raises:
        InputError: there is no such category.
    """
    chosen = ruleset.categories if category is None else (ruleset.category(category),)
    blocks = [_category_text(one) for one in chosen]
    if ruleset.general:
        blocks.append("\n".join(["In every case:", *map(_clause_text, ruleset.general)]))
    return "\n\n".join(blocks)


def brief(ruleset: RuleSet) -> str:
    """What the rules prohibit, a line per category, and the general clauses, without ids."""
    lines = [
        f"{one.title} ({one.default_decision}): {' '.join(c.text for c in one.prohibited)}"
        for one in ruleset.categories
        if one.prohibited
    ]
    return "\n".join([*lines, *(clause.text for clause in ruleset.general)])


def without(text: str, clauses: Collection[str]) -> str:
    """A text that holds rendered rules (see `render`), without the lines of these clauses."""
    gone = tuple(f"- {clause}: " for clause in clauses)
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(gone))


def _category_text(category: Category) -> str:
    lines = [f"{category.id} {category.title}: {category.definition}"]
    for heading, clauses in (("Prohibited", category.prohibited), ("Allowed", category.allowed)):
        if clauses:
            lines += [f"{heading}:", *map(_clause_text, clauses)]
    lines.append(f"When a clause is violated: {category.default_decision}.")
    lines += [f"To {decision}: {how}" for decision, how in category.style.items()]
    return "\n".join(lines)


def _clause_text(clause: Clause) -> str:
    return f"- {clause.id}: {clause.text}"


def _contradictions(ruleset: RuleSet) -> Iterator[tuple[Place, str]]:
    """What is wrong across fields: unfit or repeated ids, ids outside their category."""
    seen: dict[str, str] = {}
    for place, identity, prefix in _ids(ruleset):
        if not _ID.fullmatch(identity):
            yield place, f"{identity!r} is no id: use letters, digits, '.', '_' and '-'"
        if not identity.startswith(prefix) or identity == prefix:
            yield place, f"{identity!r} does not begin with {prefix!r}, the id of its category"
        if identity in seen:
            yield place, f"duplicate id {identity!r}, first used at {seen[identity]}"
        seen[identity] = ".".join(map(str, place))
    for number, category in enumerate(ruleset.categories):
        if not category.clauses:
            yield ("categories", number), f"category {category.id} has no clause to cite"


def _ids(ruleset: RuleSet) -> Iterator[tuple[Place, str, str]]:
    """Place, id and required beginning of everything that has an id."""
    for number, category in enumerate(ruleset.categories):
        here: Place = ("categories", number)
        yield (*here, "id"), category.id, ""
        for field, clauses in (("prohibited", category.prohibited), ("allowed", category.allowed)):
            for index, clause in enumerate(clauses):
                yield (*here, field, index, "id"), clause.id, f"{category.id}."
    for index, clause in enumerate(ruleset.general):
        yield ("general", index, "id"), clause.id, ""
