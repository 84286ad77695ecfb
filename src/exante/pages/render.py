"""Results to one self-contained page."""
from __future__ import annotations
def render(results, transcripts, ruleset) -> str:  # type: ignore[no-untyped-def]
    return results.model_dump_json()
