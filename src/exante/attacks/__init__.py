"""How we try to break a model: attack families as pure functions on prompts.

`TRAINED` may be seen in training, `HELD_OUT` never; `SEPARATE` needs control of the assistant's
turn and is reported apart from the macro mean. No generation and no judging happens here.
"""

from __future__ import annotations

from collections.abc import Iterable

from exante import plugins
from exante.attacks.base import Attack, Template, attacked

ATTACKS: dict[str, str] = {
    "direct": "exante.attacks.templates:Direct",
    "role_play": "exante.attacks.templates:RolePlay",
    "refusal_suppression": "exante.attacks.templates:RefusalSuppression",
    "research_pretext": "exante.attacks.templates:ResearchPretext",
    "affirmative_prefix": "exante.attacks.templates:AffirmativePrefix",
    "noise_suffix": "exante.attacks.encodings:NoiseSuffix",
    "spelled_word": "exante.attacks.encodings:SpelledWord",
    "developer_mode": "exante.attacks.templates:DeveloperMode",
    "fiction": "exante.attacks.templates:Fiction",
    "past_tense": "exante.attacks.templates:PastTense",
    "payload_split": "exante.attacks.encodings:PayloadSplit",
    "reversed_word": "exante.attacks.encodings:ReversedWord",
    "translation_frame": "exante.attacks.templates:TranslationFrame",
    "many_shot": "exante.attacks.templates:ManyShot",
    "system_override": "exante.attacks.templates:SystemOverride",
    "answer_prefill": "exante.attacks.prefills:AnswerPrefill",
    "reasoning_prefill_empty": "exante.attacks.prefills:ReasoningPrefillEmpty",
    "reasoning_prefill_compliant": "exante.attacks.prefills:ReasoningPrefillCompliant",
    "think_injection": "exante.attacks.prefills:ThinkInjection",
}
"""Known families; a user's own is named `package.module:Class`."""

TRAINED: tuple[str, ...] = tuple(ATTACKS)[:7]
HELD_OUT: tuple[str, ...] = tuple(ATTACKS)[7:15]
SEPARATE: tuple[str, ...] = tuple(ATTACKS)[15:]

GROUPS: dict[str, tuple[str, ...]] = {
    "trained": TRAINED,
    "held_out": HELD_OUT,
    "separate": SEPARATE,
    "all": tuple(ATTACKS),
}
"""Names that stand for several families."""

__all__ = [
    "ATTACKS",
    "GROUPS",
    "HELD_OUT",
    "SEPARATE",
    "TRAINED",
    "Attack",
    "Template",
    "attacked",
    "expand",
    "load_attack",
]


def load_attack(name: str) -> Attack:
    """The attack family of that name.

    Raises:
        InputError: there is no such family; lists the known ones.
    """
    attack: Attack = plugins.load(ATTACKS, name, "attack")()
    return attack


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Family names with groups replaced by their members, each once, in order."""
    return tuple(dict.fromkeys(member for name in names for member in GROUPS.get(name, (name,))))
