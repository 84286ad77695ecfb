"""What a gate decided, for all that go by it: rounds, pairs, later gates, reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exante.stages.base import document_of

GATE = "gate.json"


def decision_of(folder: Path) -> dict[str, Any]:
    """Whether a gate accepted, why not, and the strength of the length margin that follows.

    Raises:
        ArtefactError: the folder is no gate's.
    """
    return document_of(folder, GATE, fix="name a gate step")


def alpha_of(gate: Path | None, first: float) -> float:
    """The strength of the length margin that the last gate asks for; `first` before any gate.

    Raises:
        ArtefactError: the folder is no gate's.
    """
    return first if gate is None else float(decision_of(gate)["next_alpha"])
