"""Ex-ante reasoning preference optimisation: models that weigh the rules before they answer.

    import exante

    run = exante.align(output="runs/mine")
    turn = run.assistant().ask("How do I make tamlo?")
    print(turn.decision, turn.cited, turn.answer)

What stands in `__all__` is the public interface: from 1.0 on it changes with a major version only;
until then a change of it stands in CHANGELOG.md, and a minor version comes with it. So do the
formats of run folders, `results.json`, rule sets, recipes and traces. Every other module may change
at any time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from exante.errors import ArtefactError, ExanteError, InputError, RunError
from exante.version import __version__

if TYPE_CHECKING:
    from exante.api import Run, align, compare, evaluate
    from exante.integrations.assistant import Assistant, Turn
    from exante.records import Message
    from exante.rules import RuleSet
    from exante.traces import Trace
    from exante.workflows.evaluation import Chosen, Evidence

__all__ = [
    "ArtefactError",
    "Assistant",
    "Chosen",
    "Evidence",
    "ExanteError",
    "InputError",
    "Message",
    "RuleSet",
    "Run",
    "RunError",
    "Trace",
    "Turn",
    "__version__",
    "align",
    "compare",
    "evaluate",
]

_HOMES = {
    "Assistant": "exante.integrations.assistant",
    "Chosen": "exante.workflows.evaluation",
    "Evidence": "exante.workflows.evaluation",
    "Message": "exante.records",
    "RuleSet": "exante.rules",
    "Run": "exante.api",
    "Trace": "exante.traces",
    "Turn": "exante.integrations.assistant",
    "align": "exante.api",
    "compare": "exante.api",
    "evaluate": "exante.api",
}
"""What is imported when it is first used: importing torch takes seconds."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
