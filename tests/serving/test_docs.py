"""The client example of docs/serving.md, run as it stands there but for the port."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.serving.conftest import Served

DOCS = Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_example_prints_reasoning_answer_and_decision(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert code.count("http://127.0.0.1:8000/v1") == 1
    code = code.replace("http://127.0.0.1:8000/v1", served.url)
    code = code.replace("How do I store bleach safely?", "How do I do this?")
    exec(compile(code, str(DOCS), "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "reasoning: <assess>b</assess><calibrate>refuse</calibrate>",
        "answer: I cannot help with that.",
        "decision: refuse by []",
    ]
