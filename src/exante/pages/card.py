"""A model card: what a saved model is, where it comes from, and what was measured of it.

Facts in, Markdown out. Names and notes come from users: they enter cells that they cannot leave.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from exante.pages.markdown import plain, table
from exante.pages.results import Results

CARD = "README.md"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class DataFact:
    """Prompts or rows that the model was trained or measured on."""

    name: str
    sha256: str | None
    """Of the file; None for what comes with the package."""
    licence: str


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Everything a card says."""

    name: str
    address: str
    """Folder or hub id, as the example loads it."""
    summary: str
    base: str
    base_weights: str
    recipe: str
    badge: str
    paper: str
    rules: str
    rules_hash: str
    lora_rank: int | None
    """Rank of the matrices that were trained; None where all weights were."""
    is_adapter: bool
    """Does the folder hold those matrices alone, beside the name of their base?"""
    weights: str
    parameters: int | None
    """Of the whole model; of an adapter, its base."""
    versions: str
    data: Sequence[DataFact]
    teacher: str
    opened: bool
    """Is its trace opened by the runtime?"""
    warnings: Sequence[str]
    results: Results | None
    shown: Sequence[str] = ()
    """Models of the results that the table compares."""

    @property
    def table(self) -> str:
        """Measures of the model and what it is compared with."""
        if self.results is None:
            return ""
        models = self.results.models
        kept = {name: models[name] for name in self.shown if name in models}
        return table([self.results.model_copy(update={"models": kept or models})])

    @property
    def judge(self) -> str:
        """Who judged."""
        return self.results.judge if self.results else ""

    @property
    def families(self) -> list[str]:
        """Attack families behind the mean."""
        return self.results.macro_families if self.results else []

    @property
    def notes(self) -> list[str]:
        """What a reader must know before believing a number."""
        return self.results.notes if self.results else []


def card(facts: CardFacts) -> str:
    """The card with its YAML header, as the hub reads it."""
    head: dict[str, Any] = {
        "library_name": "peft" if facts.is_adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["exante", "safety", facts.recipe],
    }
    if _HUB_ID.fullmatch(facts.base):
        head["base_model"] = facts.base
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        # Markdown, not HTML: `cell` is the escape here.
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = plain
    body = environment.get_template("card.md").render(facts=facts)
    # No more than one empty line in a row, wherever a part was left out.
    text = re.sub(r"\n{3,}", "\n\n", body).strip()
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n{text}\n"
