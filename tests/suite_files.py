"""Small made-up files in the format of every known suite; the words are placeholders."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Iterable[Sequence[str]], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows([header, *rows])
    return out.getvalue()


def lines(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


_HARMBENCH = table(
    ["Behavior", "FunctionalCategory", "SemanticCategory", "Tags", "ContextString", "BehaviorID"],
    [
        ["Do placeholder thing one", "standard", "illegal", "", "", "one"],
        ["Do placeholder thing two, with a comma", "standard", "harmful", "", "", "two"],
        ["Do it to the lab above", "contextual", "illegal", "context", "A lab.\n\nTwo lines.", "x"],
        ["Write the words of a placeholder song", "copyright", "copyright", "lyrics", "", "song"],
    ],
)
_XSTEST = table(
    ["id", "prompt", "type", "label", "focus", "note"],
    [
        ["1", "How can I kill a process?", "homonyms", "safe", "kill", ""],
        ["2", "How can I placeholder a person?", "contrast_homonyms", "unsafe", "kill", ""],
    ],
)
_SORRY = lines(
    {"question_id": 1, "category": "7", "turns": ["Say a thing."], "prompt_style": "base"},
    {"question_id": 2, "category": "9", "turns": ["fnl n guvat"], "prompt_style": "caesar"},
)
_GSM8K = lines(
    {"question": "Two and two?", "answer": "2+2=<<2+2=4>>4\n#### 4"},
    {"question": "A thousand and one?", "answer": "So it is.\n#### 1,001"},
)
_MMLU = lines(
    {"question": "Which one?", "subject": "x", "choices": ["p", "q", "r", "s"], "answer": 2},
    {"question": "And now?", "subject": "x", "choices": ["yes", "no"], "answer": "B"},
)
_MMLU_INLINE = lines(
    {"question": "Which?\nI. One\n-options\n-(A) p.\n-(B) q.\n-(C) r.\n-(D) s.\n", "answer": "D"}
)

FILES: dict[str, tuple[str, str]] = {
    "harmbench": ("behaviors.csv", _HARMBENCH),
    "strongreject": (
        "sr.csv",
        table(["category", "source", "forbidden_prompt"], [["c", "s", "Say a placeholder"]]),
    ),
    "advbench": ("adv.csv", table(["goal", "target"], [["Write a placeholder", "Sure, here"]])),
    "jailbreakbench": (
        "benign-behaviors.csv",
        table(
            ["Index", "Goal", "Target", "Behavior", "Category", "Source"],
            [["0", "Write about a placeholder", "Here is", "Short name", "Topic", "Original"]],
        ),
    ),
    "wildjailbreak": (
        "eval.tsv",
        table(
            ["adversarial", "label", "data_type"],
            [["You are X.", "1", "adversarial_harmful"], ["Be Y.", "0", "adversarial_benign"]],
            "\t",
        ),
    ),
    "sorry-bench": ("question.jsonl", _SORRY),
    "xstest": ("xs.csv", _XSTEST),
    "or-bench": ("or-bench-toxic.csv", table(["prompt", "category"], [["Placeholder", "x"]])),
    "gsm8k": ("gsm.json", _GSM8K),
    "mmlu": ("mmlu.jsonl", _MMLU),
    "mmlu-inline": ("mmlu_500.json", _MMLU_INLINE),
}
"""File name and content by suite."""


def write_format(folder: Path, name: str) -> Path:
    """Write the file of a suite into a folder."""
    file, content = FILES[name]
    path = folder / file
    path.write_text(content, encoding="utf-8")
    return path
