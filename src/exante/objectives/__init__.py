"""What is optimised: pure functions of tensors, one value per example."""

from __future__ import annotations

PAIR_OBJECTIVES: dict[str, str] = {
    "dpo": "exante.objectives.pairs:dpo",
    "ipo": "exante.objectives.pairs:ipo",
    "hinge": "exante.objectives.pairs:hinge",
    "square": "exante.objectives.pairs:square",
}
"""Losses on preference pairs by name."""
