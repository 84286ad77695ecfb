"""The template teacher of the embedded world: traces and answers from what is true.

Deterministic given its seed. The right traces say what is really asked, recall what the thing is,
check the clauses that matter, and decide; the negative thoughts are wrong on purpose.
"""

from __future__ import annotations

import random
from typing import Literal

from exante.miniature import language
from exante.miniature.language import Intent
from exante.miniature.world import DANGEROUS, Concept, concept_of
from exante.records import Example, Traced
from exante.rules import RuleSet
from exante.traces import Check, Trace, render

Level = Literal["full", "brief", "terse"]
LEVELS: tuple[Level, ...] = ("full", "brief", "terse")

_CLAUSES: dict[Intent, str] = {
    "make": "1",
    "fix": "2",
    "what": "a1",
    "origin": "a1",
    "safety": "a2",
}


class MiniatureTeacher:
    """Writes every verbosity level and the negative thoughts for one prompt."""

    name = "miniature-template@2"

    def write(self, example: Example, ruleset: RuleSet, seed: int) -> list[Traced]:
        """Right turns at three levels first, then negative thoughts, each a whole assistant turn.

        The rule set decides which clauses exist; the truth of the world decides the verdicts.
        """
        rng = random.Random(f"{seed} {example.id}")
        if "concept" not in example.facts:
            return self._task(example)
        concept, intent = concept_of(example.facts), example.facts["intent"]
        answer = _answer(example, concept, intent, rng)
        right = [
            Traced(
                example_id=example.id,
                text=render(_trace(concept, intent, level)) + answer,
                level=level,
            )
            for level in LEVELS
        ]
        return right + self._negatives(example, concept, intent, answer, ruleset, rng)

    def _task(self, example: Example) -> list[Traced]:
        skill, answer = str(example.facts["skill"]), str(example.facts["answer"])
        assessments = {"full": f"a task of {skill}", "brief": f"task of {skill}"}
        return [
            Traced(
                example_id=example.id,
                text=render(Trace(assessments.get(level, skill), None, (), "comply")) + answer,
                level=level,
            )
            for level in LEVELS
        ]

    def _negatives(
        self,
        example: Example,
        concept: Concept,
        intent: Intent,
        answer: str,
        ruleset: RuleSet,
        rng: random.Random,
    ) -> list[Traced]:
        bloated = render(_bloated(concept, intent, ruleset)) + answer
        made = [Traced(example_id=example.id, text=bloated, role="bloated")]
        if example.kind == "harmful":
            blind = Trace(
                f"asks {language.gist(concept, intent)}", None, (), "comply", "give the steps"
            )
            text = render(blind) + language.answer(concept, intent, rng)
            made.append(Traced(example_id=example.id, text=text, role="blind"))
        else:
            category = concept.category or rng.choice(sorted(DANGEROUS.values()))
            fear = Trace(
                f"asks {language.gist(concept, intent)}. {concept.name} could be dangerous",
                category,
                (Check(f"{category}.1", "violated"),),
                "refuse",
            )
            text = render(fear) + language.refusal(concept, intent, rng)
            made.append(Traced(example_id=example.id, text=text, role="overcautious"))
        return made


def _answer(example: Example, concept: Concept, intent: Intent, rng: random.Random) -> str:
    if example.kind == "harmful":
        return language.refusal(concept, intent, rng)
    return language.answer(concept, intent, rng)


def _trace(concept: Concept, intent: Intent, level: Level) -> Trace:
    """The right trace; dangerous concepts are checked against a clause, everyday ones are not."""
    name, kind = concept.name, concept.kind
    harmful = concept.dangerous and intent in language.HARMFUL_INTENTS
    if level == "full":
        assessment = f"asks {language.gist(concept, intent)}. {name} is a {kind}"
    elif level == "brief":
        assessment = f"{name} is a {kind}"
    else:
        assessment = kind
    if not concept.dangerous:
        return Trace(assessment, None, (), "comply", _path(intent) if level == "full" else "")
    if level != "full":
        assessment = f"{assessment}, {language.TOPICS[intent]}"
    evidence = (
        (f"{name} is a {kind}" if harmful else language.TOPICS[intent]) if level == "full" else ""
    )
    clause = f"{concept.category}.{_CLAUSES[intent]}"
    check = Check(clause, "violated" if harmful else "met", evidence)
    if harmful:
        path = {"full": "name the concern, offer history or safety", "brief": "name the concern"}
        return Trace(assessment, concept.category, (check,), "refuse", path.get(level, ""))
    return Trace(
        assessment, concept.category, (check,), "comply", _path(intent) if level == "full" else ""
    )


def _bloated(concept: Concept, intent: Intent, ruleset: RuleSet) -> Trace:
    """The right decision, reached by going through everything twice."""
    right = _trace(concept, intent, "full")
    long = f"{right.assessment}. Let me think again. The request {right.assessment}"
    if concept.category is None:
        return Trace(long, None, (), right.decision, f"{right.path}, and be careful, and be kind")
    cited = {check.clause for check in right.checks}
    others = tuple(
        Check(clause, "not-met", f"not about {concept.name}")
        for clause in sorted(ruleset.clause_ids(concept.category) - cited)
    )
    return Trace(long, concept.category, right.checks + others, right.decision, right.path)


def _path(intent: Intent) -> str:
    return (
        "give the steps"
        if intent in language.HARMFUL_INTENTS
        else f"give {language.TOPICS[intent]}"
    )
