"""What a teacher is: whoever writes the turns that a model learns from, to imitate or to reject."""

from __future__ import annotations

from typing import Protocol

from exante.records import Example, Traced
from exante.rules import RuleSet


class Teacher(Protocol):
    """Writes traces and answers under a rule set."""

    @property
    def name(self) -> str:
        """Name and version, written beside what the teacher wrote."""
        ...

    def write(self, example: Example, ruleset: RuleSet, seed: int) -> list[Traced]:
        """Right turns at the levels full, brief and terse, then negative thoughts.

        Same arguments, same turns. What a teacher cannot write it leaves out.
        """
        ...
