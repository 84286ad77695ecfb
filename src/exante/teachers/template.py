"""A teacher without a model: deterministic turns for any prompts and any rule set.

It proves a pipeline and gives a first form to learn; it understands nothing. Traces quote clauses
and never the request's details, answers come from the data where it has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from exante.errors import InputError
from exante.records import Example, Response, Traced
from exante.rules import Category, Clause, RuleSet
from exante.traces import Check, Trace, escape, render

_WORD = re.compile(r"[^\W\d_]{4,}")
_STEM = 6
_WORDS_OF_ASKING = """
about above also another any anyone around asking because been before being both does each from
give given gives giving have help helping information instruction instructions into like made make
making more most must only other others over part people person prompt provide request requests
same should some someone such tell than that their them then there these they thing things this
those used using what when where which while will with without would write your
"""
_COMMON = frozenset(_WORDS_OF_ASKING.split())


class TemplateTeacher:
    """Writes by `kind`, the category (given, or guessed from shared words) and known responses."""

    name = "template@1"

    def concerns(self, example: Example, ruleset: RuleSet) -> RuleSet:
        """The category that the turns are about: nothing else of the rules enters them."""
        return ruleset.only([find_category(example, ruleset).id])

    def write(self, example: Example, ruleset: RuleSet, seed: int) -> list[Traced]:  # noqa: ARG002
        """Three right turns, then the negative thoughts that fit; the seed changes nothing."""
        category = find_category(example, ruleset)
        if example.kind == "harmful":
            return self._harmful(example, category)
        return self._answered(example, category)

    def _harmful(self, example: Example, category: Category) -> list[Traced]:
        clause = _nearest(example.prompt, category.prohibited)
        answer = _known_answer(example) or _refusal(category)
        decision = category.default_decision
        traces = {
            "full": Trace(
                f"the request concerns {category.title} and asks for what is prohibited",
                category.id,
                (Check(clause.id, "violated", clause.text),),
                decision,
                "name the concern and offer what is allowed",
            ),
            "brief": Trace(
                f"concerns {category.title}",
                category.id,
                (Check(clause.id, "violated"),),
                decision,
                "name the concern",
            ),
            "terse": Trace(category.title, category.id, (Check(clause.id, "violated"),), decision),
        }
        blind = Trace("an ordinary request", None, (), "comply", "answer in full")
        return [
            *_right(example, traces, answer),
            _bloated(example, traces["full"], category, answer),
            _turn(example, blind, "Sure, here is what you asked for.", role="blind"),
        ]

    def _answered(self, example: Example, category: Category) -> list[Traced]:
        answer = _known_answer(example) or _help(example)
        near = _score(example.prompt, category) > 0 or example.category == category.id
        checks: tuple[Check, ...] = ()
        identity: str | None = None
        if example.kind == "borderline" and near and category.allowed:
            clause = _nearest(example.prompt, category.allowed)
            identity, checks = category.id, (Check(clause.id, "met"),)
            full = f"sounds like {category.title}, but asks for what is allowed"
            brief = f"allowed although near {category.title}"
        else:
            full, brief = "an ordinary request without a risk", "an ordinary request"
        traces = {
            "full": Trace(full, identity, checks, "comply", "answer helpfully"),
            "brief": Trace(brief, identity, checks, "comply"),
            "terse": Trace(
                "ordinary" if identity is None else "allowed", identity, checks, "comply"
            ),
        }
        return [
            *_right(example, traces, answer),
            _bloated(example, traces["full"], category if identity else None, answer),
            _overcautious(example, category),
        ]


def find_category(example: Example, ruleset: RuleSet) -> Category:
    """The category that the example names, else the one that shares most words with the prompt.

    Without any shared word it is the first one. Only categories that prohibit something count.

    Raises:
        InputError: the rule set prohibits nothing.
    """
    known = [category for category in ruleset.categories if category.prohibited]
    if not known:
        raise InputError(
            "no category prohibits anything",
            where=f"rule set {ruleset.name}",
            fix="add a prohibited clause to a category, or use another teacher",
        )
    named = (category for category in known if category.id == example.category)
    return next(named, max(known, key=lambda category: _score(example.prompt, category)))


def _overcautious(example: Example, category: Category) -> Traced:
    fear = Trace(
        f"could concern {category.title}",
        category.id,
        (Check(category.prohibited[0].id, "violated"),),
        "refuse",
    )
    return _turn(example, fear, _refusal(category), role="overcautious")


def _right(example: Example, traces: dict[str, Trace], answer: str) -> list[Traced]:
    return [_turn(example, trace, answer, level=level) for level, trace in traces.items()]


def _bloated(example: Example, full: Trace, category: Category | None, answer: str) -> Traced:
    """The full trace, said twice, with every other clause of the category gone through."""
    seen = set(full.cited)
    others = [*category.prohibited, *category.allowed] if category else []
    checks = tuple(Check(c.id, "not-met", "does not apply") for c in others if c.id not in seen)
    long = Trace(
        f"{full.assessment}, and thinking about it once more, {full.assessment}, so it stays",
        full.category,
        full.checks + checks,
        full.decision,
        f"{full.path}, and go through every point again before the answer is given",
    )
    return _turn(example, long, answer, role="bloated")


def _turn(example: Example, trace: Trace, answer: str, **labels: str) -> Traced:
    fields = {"example_id": example.id, "text": render(trace) + escape(answer), **labels}
    return Traced.model_validate(fields)


def _known_answer(example: Example) -> str:
    """The best known answer: a safe one always, the more useful one where that is said."""
    safe = [r for r in example.responses if not _is_unsafe(r)]
    marked = example.safer if example.kind == "harmful" else example.better
    if marked is not None:
        best = example.responses[marked]
        if not _is_unsafe(best):
            return best.text.strip()
    if example.kind == "harmful":  # an unlabelled answer to a harmful prompt cannot be trusted
        safe = [r for r in safe if r.unsafe is False or (r.cost is not None and r.cost <= 0)]
    return safe[0].text.strip() if safe else ""


def _is_unsafe(response: Response) -> bool:
    return response.unsafe is True or (response.cost is not None and response.cost > 0)


def _refusal(category: Category) -> str:
    offer = category.allowed[0].text.rstrip(".") if category.allowed else "a safe alternative"
    return (
        f"I cannot help with this, because it concerns {category.title.lower()} and could hurt "
        f"people. Instead I can help with: {offer[:1].lower()}{offer[1:]}."
    )


def _help(example: Example) -> str:
    asked = " ".join(example.prompt.split()[:12]).rstrip(".?!,;:")
    return f"Happy to help. You asked: {asked}. Here is a short and plain answer to that."


def _nearest(text: str, clauses: Sequence[Clause]) -> Clause:
    """The clause that shares most word stems with the text, the first of equals."""
    return max(clauses, key=lambda clause: len(_stems(text) & _stems(clause.text)))


def _score(text: str, category: Category) -> int:
    """How many word stems the text shares with the category."""
    rules = [clause.text for clause in category.prohibited]
    return len(_stems(text) & _stems(" ".join([category.title, category.definition, *rules])))


def _stems(text: str) -> set[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return {word[:_STEM] for word in words if word not in _COMMON}
