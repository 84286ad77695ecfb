"""What a shell completes: names of things to choose from, found without loading any of them.

A shell asks at every tab, so that nothing here may import torch. Where no name fits, shells go on
with files by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

Completion = Callable[[str], list[str]]

_PACKAGE = Path(__file__).parents[1]


def recipes(incomplete: str) -> list[str]:
    """Built-in recipes."""
    return _fitting(incomplete, (path.stem for path in (_PACKAGE / "recipes").glob("*.yaml")))


def judges(incomplete: str) -> list[str]:
    """Known judges."""
    from exante.judges import JUDGES

    return _fitting(incomplete, JUDGES)


def teachers(incomplete: str) -> list[str]:
    """Known teachers."""
    from exante.teachers import TEACHERS

    return _fitting(incomplete, TEACHERS)


def rules(incomplete: str) -> list[str]:
    """Built-in rule sets."""
    from exante.rules import BUILT_IN

    return _fitting(incomplete, BUILT_IN)


def attacks(incomplete: str) -> list[str]:
    """Groups and families, behind those that stand before the last comma."""
    from exante.attacks import ATTACKS, GROUPS
    from exante.attacks.search import SEARCHES, SOFT

    before, comma, last = incomplete.rpartition(",")
    names = _fitting(last, {*GROUPS, *ATTACKS, *SEARCHES, *SOFT, "search"})
    return [f"{before}{comma}{name}" for name in names]


def suites(incomplete: str) -> list[str]:
    """Known suites."""
    from exante.suites import SUITES

    return _fitting(incomplete, SUITES)


def formats(incomplete: str) -> list[str]:
    """Formats of data."""
    from exante.formats import FORMATS

    return _fitting(incomplete, FORMATS)


def models(incomplete: str) -> list[str]:
    """The miniature, and run folders below `runs`."""
    return _fitting(incomplete, ["miniature", *runs(incomplete)])


def runs(incomplete: str) -> list[str]:
    """Run folders below `runs`."""
    return _fitting(incomplete, (str(path.parent) for path in Path("runs").glob("*/recipe.yaml")))


def things(incomplete: str) -> list[str]:
    """What `exante ls` lists."""
    return _fitting(incomplete, THINGS)


THINGS = ("recipes", "attacks", "judges", "teachers", "formats", "runs")


def _fitting(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
