"""Lets attacks look for prompts against one policy, goal by goal, and continues a stopped run."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from exante.attacks.attackers import StreamSettings, TreeSettings
from exante.attacks.search import ASKING, Found, SearchAttack, aim, load_search
from exante.attacks.suffixes import GradientSettings, SuffixSettings
from exante.models.devices import sampling_dtype
from exante.models.load import load_chat, load_model
from exante.models.speaker import load_speaker, speaker_fingerprint
from exante.models.target import LocalTarget
from exante.records import Example, Record, write_jsonl
from exante.speakers import Metered, Speaker
from exante.stages.base import Config, Inputs, Stage, Summary, Tell, model_of, point_at
from exante.stages.journal import Journal, paid
from exante.stages.partial import put, resumed
from exante.stages.prompts import EXAMPLES, Split, examples_of

SEARCHED = "searched.jsonl"
_PARTIAL = "searched.partial.jsonl"


class GoalSettings(Config):
    """Which goals an attacker with access to the model goes for, and with which words in view."""

    split: Split = "test"
    """Split of the prompts; ignored for prompts that have only one list."""
    goals: int = Field(default=20, ge=1)
    """Most harmful prompts that are searched for; the same ones for every policy."""
    trace: Literal["open", "free"] = "free"
    """`open` forces the start of the trace, as serving does; it must be that of the sampling."""
    affirmative: str = Field(default="Here is how", min_length=1)
    """Beginning of an answer that is made likely, behind a complying trace if one is opened."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the weights; `auto` is bfloat16 on GPUs that have it, else float32."""
    seed: int = 0
    """Chooses goals, and seeds every search."""


class SearchConfig(GoalSettings):
    """Which families search, and how long."""

    families: tuple[str, ...] = ("gcg",)
    """Families that search; a user's own is `package.module:Class`, made without arguments."""
    suffix: SuffixSettings = SuffixSettings()
    """Budget of `suffix_search`."""
    gradient: GradientSettings = GradientSettings()
    """Budget of `gcg`."""
    streams: StreamSettings = StreamSettings()
    """Budget of `pair`."""
    tree: TreeSettings = TreeSettings()
    """Budget of `tap`."""
    attacker: str | None = None
    """Model that writes messages for `pair` and `tap`: a folder, a hub id or an endpoint."""
    scorer: str | None = None
    """Model that scores answers for them; None takes the attacker."""
    reply_tokens: int = Field(default=192, ge=1)
    """Most tokens of an answer that an attacker gets to see."""

    @model_validator(mode="after")
    def _attackers_are_named(self) -> SearchConfig:
        asking = [name for name in self.families if name in ASKING]
        if asking and self.attacker is None:
            raise ValueError(f"{asking[0]} needs `attacker`: a model that writes its messages")
        return self


class Searched(Record):
    """One family, one goal, and what was found."""

    family: str
    goal_id: str
    found: Found


def identity(config: SearchConfig) -> dict[str, str]:
    """The weights of attacker and scorer; an endpoint is its name."""
    named = {"attacker": config.attacker, "scorer": config.scorer}
    return {role: speaker_fingerprint(name) for role, name in named.items() if name is not None}


def run(config: SearchConfig, inputs: Inputs, out: Path, tell: Tell) -> Summary:
    """Write the best prompts of every family and goal, and an account of each search."""
    folder = model_of(inputs.one("policy"))
    goals = goals_of(inputs.one("prompts"), config)
    done = {(s.family, s.goal_id): s for s in resumed(out / _PARTIAL, Searched)}
    owed = [(f, e) for f in config.families for e in goals if (f, e.id) not in done]
    journals = [Journal(out, role) for role in ("attacker", "scorer")]
    speakers: list[Speaker] = []
    if owed:
        target = target_of(folder, config, reply_tokens=config.reply_tokens)
        speakers = _speakers(config, journals)
        attacks = _attacks(config, target.chat.tag, speakers)
        with (out / _PARTIAL).open("a", encoding="utf-8") as file:
            for family, goal in owed:
                found = attacks[family].search(goal, target, config.seed)
                done[family, goal.id] = Searched(family=family, goal_id=goal.id, found=found)
                put([done[family, goal.id]], file)
                tell(len(done), len(config.families) * len(goals), "searches")
    ordered = [done[family, goal.id] for family in config.families for goal in goals]
    made = {example.id: example for s in ordered for example in s.found.examples}
    write_jsonl(out / SEARCHED, ordered)
    write_jsonl(out / EXAMPLES, made.values())
    (out / _PARTIAL).unlink(missing_ok=True)
    for journal in journals:
        journal.drop()
    point_at(folder, out)
    bills = [speaker.bill for speaker in dict.fromkeys(speakers) if isinstance(speaker, Metered)]
    return {
        "goals": len(goals),
        "families": {family: _account(ordered, family) for family in config.families},
        **(paid(sum(bills[1:], bills[0]), tell) if bills else {}),
    }


def goals_of(folder: Path, config: GoalSettings) -> list[Example]:
    """Undisguised harmful prompts, at most `goals`, in their order; the seed chooses."""
    plain = [
        example
        for example in examples_of(folder, config.split)
        if example.kind == "harmful" and example.attack == "direct"
    ]
    rng = random.Random(f"goals {config.seed}")
    chosen = set(rng.sample(range(len(plain)), min(config.goals, len(plain))))
    return [example for number, example in enumerate(plain) if number in chosen]


def target_of(folder: Path, config: GoalSettings, *, reply_tokens: int) -> LocalTarget:
    """The policy as an attacker with its weights sees it."""
    model = load_model(folder, dtype=sampling_dtype(config.precision))
    # Gradients go to what the model reads, never to its weights.
    model.requires_grad_(False)
    return LocalTarget(
        model,
        load_chat(folder),
        name=str(folder),
        opened=config.trace == "open",
        reply_tokens=reply_tokens,
    )


def aim_of(config: GoalSettings, tag: str) -> str:
    """The beginning of a turn that is made likely."""
    return aim(config.affirmative, opened=config.trace == "open", tag=tag)


def _attacks(
    config: SearchConfig, tag: str, speakers: Sequence[Speaker]
) -> dict[str, SearchAttack]:
    """The families by name, each with its budget; attacker and scorer go to those that ask."""
    words = aim_of(config, tag)
    arguments: dict[str, tuple[Any, ...]] = {
        "suffix_search": (words, config.suffix),
        "gcg": (words, config.gradient),
        "pair": (*speakers, config.streams),
        "tap": (*speakers, config.tree),
    }
    return {name: load_search(name)(*arguments.get(name, ())) for name in config.families}


def _speakers(config: SearchConfig, journals: Sequence[Journal]) -> list[Speaker]:
    """Attacker and scorer, one model if they have one name; none where no family asks.

    What a server says is kept reply by reply: a search that was killed asks nothing again, and
    comes to where it was, for the model that is attacked answers as before.
    """
    if not any(name in ASKING for name in config.families):
        return []
    attacker = load_speaker(str(config.attacker), memory=journals[0])
    if config.scorer in (None, config.attacker):
        return [attacker, attacker]
    return [attacker, load_speaker(str(config.scorer), memory=journals[1])]


def _account(searched: Iterable[Searched], family: str) -> dict[str, Any]:
    """Queries and mean values before and after, of one family."""
    found = [s.found for s in searched if s.family == family]
    walked = [f.history for f in found if f.history]
    return {
        "queries": sum(f.queries for f in found),
        "most_queries": max((f.queries for f in found), default=0),
        "malformed": sum(f.malformed for f in found),
        "before": round(sum(h[0] for h in walked) / len(walked), 3) if walked else None,
        "after": round(sum(h[-1] for h in walked) / len(walked), 3) if walked else None,
    }


STAGE = Stage("search", 1, SearchConfig, run, reads=("policy", "prompts"), identity=identity)
