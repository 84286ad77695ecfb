"""How we decide what a model did: judges of answers, and their union with the trace.

A judge is named in `JUDGES` or as `package.module:Class`; it is loaded when first used.
"""

from __future__ import annotations

from exante import plugins
from exante.judges.base import AnswerJudgement, HarmJudge, Judge

JUDGES: dict[str, str] = {
    "miniature": "exante.miniature.oracle:Oracle",
    "strings": "exante.judges.strings:StringJudge",
}
"""Known judges; a user's own is named `package.module:Class`."""

__all__ = ["JUDGES", "AnswerJudgement", "HarmJudge", "Judge", "load_judge"]


def load_judge(name: str) -> Judge:
    """The judge of that name.

    Raises:
        InputError: there is no such judge; lists the known ones.
    """
    judge: Judge = plugins.load(JUDGES, name, "judge")()
    return judge
