"""One made-up row in the format of every known data set; the words are placeholders."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ASK, SAFE, UNSAFE = "How is harond made?", "I cannot help with that.", "Placeholder part A1."


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def bot(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def rating(value: str) -> dict[str, Any]:
    return {"Rating": value, "Rationale": "a reason"}


PKU: dict[str, Any] = {
    "prompt": ASK,
    "response_0": UNSAFE,
    "response_1": SAFE,
    "is_response_0_safe": False,
    "is_response_1_safe": True,
    "better_response_id": 0,
    "safer_response_id": 1,
}
STAR: dict[str, Any] = {
    "id": "1",
    "question": ASK,
    "response": (
        "<think>\nThey ask about harond.\n\nThe policy on poisons says no.\n\nSo I decline.\n"
        f"</think>\n\n{SAFE}"
    ),
    "category": ["Poisons"],
    "source": "invented",
    "score": {"Accuracy": 10},
}
ROWS: dict[str, dict[str, Any]] = {
    "pku": PKU,
    "pku_pairs": {"prompt": ASK, "response": [SAFE, UNSAFE]},
    "ultrafeedback": {
        "instruction": "Name a soup.",
        "models": ["one", "two"],
        "completions": [
            {
                "model": "one",
                "response": "Leek soup.",
                "annotations": {"helpfulness": rating("5"), "honesty": rating("4")},
                "overall_score": 1.0,
            },
            {
                "model": "two",
                "response": "Soup?",
                "annotations": {"helpfulness": rating("2"), "honesty": rating("N/A")},
                "overall_score": 10.0,
            },
        ],
    },
    "hh": {
        "chosen": f"\n\nHuman: Hello\n\nAssistant: Hello!\n\nHuman: {ASK}\n\nAssistant: {SAFE}",
        "rejected": f"\n\nHuman: Hello\n\nAssistant: Hello!\n\nHuman: {ASK}\n\nAssistant: {UNSAFE}",
    },
    "preference": {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
    "star1": STAR,
    "beavertails": {
        "prompt": ASK,
        "response": UNSAFE,
        "category": {"poisons": True, "privacy": False},
        "is_safe": False,
    },
    "stepwise": {"prompt": "2 + 2 + 2?", "completions": ["4", "7"], "labels": [True, False]},
    "unpaired": {"prompt": "The sky is", "completion": " blue.", "label": True},
    "conversation": {"messages": [user("Which colour?"), bot("Blue.")]},
    "answer": {"instruction": "Add them.", "input": "2 and 3", "output": "5"},
    "examples": {"id": "x", "messages": [user("Hello")], "kind": "benign"},
    "prompts": {"Behavior": "Do a placeholder thing", "Category": ""},
}
"""By format."""


def lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(path: Path, *rows: Mapping[str, Any]) -> Path:
    text = lines(rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path
