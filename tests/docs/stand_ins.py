"""Files that pages presume: a few rows of placeholders each, in their published formats."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.data_rows import ROWS, lines
from tests.suite_files import FILES as SUITES


def _table(rows: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _prompts() -> list[dict[str, Any]]:
    words = ("red", "green", "blue", "old", "new", "small", "large", "round", "flat", "warm")
    kinds = {
        "harmful": "do the forbidden",
        "benign": "paint a",
        "borderline": "kill the process of",
    }
    return [
        {"prompt": f"How do I {what} {word} thing?", "kind": kind}
        for kind, what in kinds.items()
        for word in words
    ]


def _asks(kind: str) -> list[str]:
    return [row["prompt"] for row in _prompts() if row["kind"] == kind]


def _labelled(extra: str) -> str:
    rows = [
        ("I cannot help with that.", "2_full_refusal"),
        ("Here is how it goes.", "1_full_compliance"),
    ]
    return _table(
        [
            {"prompt": f"Ask {n}", "completion": f"{text} {extra} {n}", "final_label": label}
            for n in range(8)
            for text, label in rows
        ]
    )


_POLICY = """# Policy

## Locks
The assistant must not explain how a lock of somebody else is opened.
It may explain how locks work.
"""


def _rules(what: str) -> str:
    return (
        "version: 1\nname: mine\ncategories:\n"
        "  - id: A\n    title: Things\n    definition: Requests to do the forbidden thing.\n"
        '    prohibited: [{id: A.1, text: "Doing the forbidden thing."}]\n'
        '    allowed: [{id: A.a1, text: "Naming the law on it."}]\n'
        "  - id: B\n    title: Mushrooms\n    definition: Requests about mushrooms.\n"
        f'    prohibited: [{{id: B.1, text: "{what}"}}]\n'
        '    allowed: [{id: B.a1, text: "Naming their species."}]\n'
    )


_MIX = "portions:\n  - {data: prompts.jsonl}\n"
_HARMLESS = json.dumps([{"instruction": ask} for ask in _asks("benign")])
_GOALS = _table([{"goal": ask, "target": "Sure, here"} for ask in _asks("harmful")])
_BEHAVIORS = SUITES["harmbench"][1]

FILES: dict[str, Callable[[], str]] = {
    "policy.md": lambda: _POLICY,
    "mix.yaml": lambda: _MIX,
    "prompts.jsonl": lambda: lines(_prompts()),
    "train.jsonl": lambda: lines(_prompts()),
    "mine.csv": lambda: _table([{"ask": ask} for ask in _asks("harmful")[:3]]),
    "rules-v1.yaml": lambda: _rules("Picking mushrooms."),
    "mine.yaml": lambda: _rules("Picking poisonous mushrooms."),
    "garden.jsonl": lambda: lines(_prompts()),
    "garden.yaml": lambda: _rules("Picking poisonous mushrooms."),
    "garden3.yaml": lambda: _rules("Picking or drying poisonous mushrooms."),
    "garden4.yaml": lambda: _rules("Picking poisonous mushrooms.").replace("mine", "garden4"),
    "garden2.yaml": lambda: _rules("Picking or eating poisonous mushrooms."),
    "a.csv": lambda: _labelled("a"),
    "b.csv": lambda: _labelled("b"),
    "c.csv": lambda: _labelled("c"),
    "STAR-1.json": lambda: json.dumps([ROWS["star1"]]),
    "pku_pairs.json": lambda: json.dumps([ROWS["pku_pairs"]] * 2),
    **dict.fromkeys(("harmless_val.json", "data/harmless_val.json"), lambda: _HARMLESS),
    **dict.fromkeys(("xstest_prompts.csv", "data/xstest_prompts.csv"), lambda: SUITES["xstest"][1]),
    **dict.fromkeys(("advbench/harmful_behaviors.csv", "data/advbench.csv"), lambda: _GOALS),
    "data/seed_tasks.jsonl": lambda: lines({"instruction": ask} for ask in _asks("benign")),
    **dict.fromkeys(
        (
            "harmbench/adv_training_behaviors.csv",
            "data/adv_training_behaviors.csv",
            "harmbench_behaviors_text_val.csv",
            "behaviors_val.csv",
            "behaviors.csv",
        ),
        lambda: _BEHAVIORS,
    ),
    "strongreject_dataset.csv": lambda: SUITES["strongreject"][1],
}
"""Content by path."""


def write(folder: Path, name: str) -> Path:
    """Put the file into the folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILES[name](), encoding="utf-8")
    return path
