"""An evaluation of the embedded miniature with families that are pure text."""

from __future__ import annotations

import json
from pathlib import Path

from exante.workflows.evaluation import evaluation_recipe
from exante.workflows.performing import run_document

FAMILIES = ["direct", "leetspeak", "ascii_art", "best_of_n", "crescendo", "many_turns_16"]
SMALL = {
    "suite.limits": {"harmful": 2, "benign": 2, "borderline": 2, "capability": 3},
    "evaluation.sampled.sampling.max_new_tokens": 24,
}


def test_disguises_probes_and_candidates_reach_the_report(tmp_path: Path) -> None:
    document = evaluation_recipe(["miniature"], {}, FAMILIES)
    results = run_document(document, changes=SMALL, out=tmp_path / "run")
    assert results is not None
    model = results.models["miniature"]
    assert {name: value.n for name, value in model.asr_by_attack.items()} == dict.fromkeys(
        FAMILIES, 2
    )
    assert {n: v.n for n, v in model.understood_by_attack.items()} == {
        "direct": 3,
        "leetspeak": 3,
        "ascii_art": 3,
    }
    assert model.capability.n == 3
    rows = [json.loads(line) for line in (tmp_path / "run/rows.jsonl").read_text().splitlines()]
    assert sum(row["attack"] == "best_of_n" for row in rows) == 8
    assert len([row for row in rows if row["kind"] == "capability"]) == 3 + 3 + 2 * 3
