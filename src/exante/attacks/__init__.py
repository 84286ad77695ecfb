"""How we try to break a model: attack families as pure functions on prompts.

`TRAINED` may be seen in training, `HELD_OUT` never; `SEPARATE` needs control of the assistant's
turn and is reported apart from the macro mean. `ENCODINGS` and `HELD_OUT_TEXT` are no part of the
mean of published figures; they are there for the asking. No generation and no judging happens here.
"""

from __future__ import annotations

from collections.abc import Iterable

from exante import plugins
from exante.attacks.base import Attack, Template, attacked, forms_of
from exante.attacks.probes import Probed
from exante.errors import InputError, unknown_name

_ENCODINGS: dict[str, str] = {
    "base64": "exante.attacks.codes:Base64",
    "hex": "exante.attacks.codes:Hexadecimal",
    "rot13": "exante.attacks.codes:Rot13",
    "caesar": "exante.attacks.codes:Caesar",
    "atbash": "exante.attacks.codes:Atbash",
    "morse": "exante.attacks.codes:Morse",
    "leetspeak": "exante.attacks.codes:Leetspeak",
    "homoglyphs": "exante.attacks.codes:Homoglyphs",
    "unicode_tags": "exante.attacks.codes:UnicodeTags",
    "zalgo": "exante.attacks.codes:Zalgo",
    "spaced_letters": "exante.attacks.codes:SpacedLetters",
    "ascii_art": "exante.attacks.encodings:AsciiArt",
}
_HELD_OUT_TEXT: dict[str, str] = {
    "crescendo": "exante.attacks.scripts:Crescendo",
    "foot_in_the_door": "exante.attacks.scripts:FootInTheDoor",
    "many_turns_4": "exante.attacks.scripts:FourTurns",
    "many_turns_16": "exante.attacks.scripts:SixteenTurns",
    "best_of_n": "exante.attacks.perturbations:BestOfN",
    "code_completion": "exante.attacks.programs:CodeCompletion",
    "nested_fiction": "exante.attacks.templates:NestedFiction",
}
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
    **_ENCODINGS,
    **_HELD_OUT_TEXT,
}
"""Known families; a user's own is named `package.module:Class`."""

TRAINED: tuple[str, ...] = tuple(ATTACKS)[:7]
HELD_OUT: tuple[str, ...] = tuple(ATTACKS)[7:15]
SEPARATE: tuple[str, ...] = tuple(ATTACKS)[15:19]
ENCODINGS: tuple[str, ...] = tuple(_ENCODINGS)
HELD_OUT_TEXT: tuple[str, ...] = tuple(_HELD_OUT_TEXT)

GROUPS: dict[str, tuple[str, ...]] = {
    "trained": TRAINED,
    "held_out": HELD_OUT,
    "separate": SEPARATE,
    "encodings": ENCODINGS,
    "held_out_text": HELD_OUT_TEXT,
    "all": tuple(ATTACKS),
}
"""Names that stand for several families."""

__all__ = [
    "ATTACKS",
    "ENCODINGS",
    "GROUPS",
    "HELD_OUT",
    "HELD_OUT_TEXT",
    "SEPARATE",
    "TRAINED",
    "Attack",
    "Probed",
    "Template",
    "attacked",
    "expand",
    "forms_of",
    "load_attack",
]


def load_attack(name: str) -> Attack:
    """The attack family of that name.

    Raises:
        InputError: there is no such family; lists the known ones, and groups, which may be meant.
            Or what a user named is none.
    """
    if name not in ATTACKS and ":" not in name:
        raise unknown_name("attack", name, (*ATTACKS, *GROUPS))
    attack = plugins.made(ATTACKS, name, "attack")
    if not isinstance(attack, Attack):
        raise InputError(
            f"{name} is no attack",
            fix="give package.module:Class of one with a `name` and a method `apply`",
        )
    return attack


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Family names with groups replaced by their members, each once, in order."""
    return tuple(dict.fromkeys(member for name in names for member in GROUPS.get(name, (name,))))
