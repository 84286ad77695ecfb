"""What `exante ls` lists: things to choose from, and runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exante import recipes
from exante.attacks import ATTACKS, GROUPS
from exante.attacks.search import SEARCHES, SOFT
from exante.errors import unknown_name
from exante.formats import FORMATS
from exante.judges import JUDGES
from exante.stages.report import RESULTS
from exante.teachers import TEACHERS


def listing(what: str) -> list[dict[str, str]]:
    """Rows of what there is to choose from.

    Raises:
        InputError: there is nothing of that kind.
    """
    kinds = {
        "recipes": recipes.table,
        "attacks": lambda: [
            *({"name": n, "group": _group(n)} for n in ATTACKS),
            *({"name": n, "group": "search"} for n in (*SEARCHES, *SOFT)),
        ],
        "judges": lambda: [{"name": name, "is": JUDGES[name]} for name in JUDGES],
        "teachers": lambda: [{"name": name, "is": TEACHERS[name]} for name in TEACHERS],
        "formats": lambda: [{"name": f.name, "about": f.about} for f in FORMATS.values()],
        "runs": _runs,
    }
    if what not in kinds:
        raise unknown_name("kind of thing", what, kinds)
    return kinds[what]()


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines whose columns begin below each other, two blanks after the widest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _group(name: str) -> str:
    return next(group for group, names in GROUPS.items() if name in names)


def _runs() -> list[dict[str, str]]:
    found = []
    for path in sorted(Path("runs").glob("*/recipe.yaml")):
        state = "finished" if (path.parent / RESULTS).is_file() else "unfinished"
        found.append({"name": str(path.parent), "state": state})
    return found
