"""Disguises prompts with attack families; for training with some, for evaluation with others.

Prompts that a model could not read with a turn behind them are left out for all models, so that all
are asked the same.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import Field

from exante.attacks import GROUPS, Attack, Probed, expand, forms_of, load_attack
from exante.attacks.probes import plain_probes
from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.folders import context_limit
from exante.models.load import load_chat
from exante.records import Example, Kind, write_jsonl
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of
from exante.stages.prompts import EXAMPLES, Split, examples_of
from exante.stages.served import served_of

_SETTLED = ("trained", "held_out", "separate")
"""Groups whose families never change; published figures rest on them."""


class AttackConfig(Config):
    """Which prompts are disguised, how, and how many."""

    split: Split = "train"
    """Prompts of this split only."""
    families: tuple[str, ...] = ("trained",)
    """Families or groups of families; a user's own is `package.module:Class`."""
    per_prompt: dict[Kind, int] | None = None
    """Disguises of one prompt by its kind, drawn from the families; None takes every family, and
    for harmful prompts only."""
    limits: dict[Kind, int] = Field(default_factory=dict)
    """Most prompts of a kind before disguising; drawn with the seed."""
    plain: bool = True
    """Keep the undisguised prompts too."""
    turn_tokens: int = Field(default=0, ge=0)
    """Room for a turn: prompts with which it does not fit into what all `models` read are left out,
    and counted."""
    seed: int = 0
    """Chooses prompts, families and wordings."""


def identity(config: AttackConfig) -> dict[str, Any]:
    """The members of groups that may grow with the package."""
    asked = [name for name in config.families if name in GROUPS and name not in _SETTLED]
    return {name: list(GROUPS[name]) for name in asked}


def run(config: AttackConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write plain and disguised prompts, in a fixed order, then probes of whether they are read."""
    rng = random.Random(f"attack {config.seed} {config.split}")
    chosen = _limited(examples_of(inputs.one("prompts"), config.split), config, rng)
    attacks = {name: load_attack(name) for name in expand(config.families)}
    made: list[Example] = []
    for example in chosen:
        names = _families(example, attacks, config, rng)
        if config.plain and "direct" not in names:
            made.append(example)
        for name in names:
            made += [
                example if name == "direct" else wrapped
                for wrapped in forms_of(attacks[name], example, config.seed)
            ]
    made += _probes(attacks, made, config)
    unique = list({example.id: example for example in made}.values())
    readers = _readers(inputs, config.turn_tokens)
    kept = [example for example in unique if all(reader.reads(example) for reader in readers)]
    if unique and not kept:
        raise InputError(
            f"with a turn of {config.turn_tokens} tokens no prompt fits into what the models read",
            fix="lower turn_tokens, or shorten the prompts",
        )
    write_jsonl(out / EXAMPLES, kept)
    summary: Summary = {
        "prompts": len(kept),
        "kinds": dict(Counter(e.kind for e in kept)),
        "families": dict(Counter(e.attack for e in kept)),
    }
    if len(kept) < len(unique):
        limit = min(reader.limit for reader in readers)
        summary["overlong"] = len(unique) - len(kept)
        summary["notes"] = [
            f"{len(unique) - len(kept)} of {len(unique)} {config.split} prompts were left out: "
            f"with a turn of {config.turn_tokens} tokens they are longer than the {limit} that is "
            "read."
        ]
    return summary


@dataclass(frozen=True, slots=True)
class _Reader:
    """A model's chat format, and how many tokens of a prompt it has room for."""

    chat: Chat
    limit: int
    room: int

    def reads(self, example: Example) -> bool:
        begun = example.prefill or self.chat.beginning("open")
        tokens = self.chat.prompt_ids(example.messages) + self.chat.encode(begun)
        return len(tokens) <= self.room


def _readers(inputs: Inputs, turn_tokens: int) -> list[_Reader]:
    """Of every model that has weights here; what a server's reads is not known."""
    steps = inputs.many("models").values()
    folders = [model_of(step) for step in steps if served_of(step) is None]
    limits = [context_limit(folder) for folder in folders]
    return [
        _Reader(load_chat(folder), limit, limit - turn_tokens)
        for folder, limit in zip(folders, limits, strict=True)
    ]


def _limited(examples: list[Example], config: AttackConfig, rng: random.Random) -> list[Example]:
    """At most so many of each kind, in their order."""
    kept: set[str] = set()
    for kind in get_args(Kind):
        ids = [e.id for e in examples if e.kind == kind]
        kept.update(rng.sample(ids, min(len(ids), config.limits.get(kind, len(ids)))))
    return [e for e in examples if e.id in kept]


def _families(
    example: Example, attacks: dict[str, Attack], config: AttackConfig, rng: random.Random
) -> list[str]:
    names = list(attacks)
    if config.per_prompt is None:
        return names if example.kind == "harmful" else []
    disguises = [name for name in names if name != "direct"]
    count = min(len(disguises), config.per_prompt.get(example.kind, 0))
    return rng.sample(disguises, count)


def _probes(attacks: dict[str, Attack], made: list[Example], config: AttackConfig) -> list[Example]:
    """Of families that can be misread, harmless prompts in the same disguise, and in none.

    Only where every family is tried, which is an evaluation, and not more per family than other
    capability prompts are wanted.
    """
    if config.per_prompt is not None:
        return []
    most = config.limits.get("capability")
    tried = {example.attack for example in made}
    probed = [a for a in attacks.values() if isinstance(a, Probed) and a.name in tried]
    disguised = [probe for attack in probed for probe in attack.probes(config.seed)[:most]]
    return [*plain_probes()[:most], *disguised] if disguised else []


STAGE = Stage(
    "attack",
    2,
    AttackConfig,
    run,
    reads=("prompts",),
    optional=("models",),
    identity=identity,
)
