"""One target under Atheris; options of libFuzzer follow the target's name."""

from __future__ import annotations

import sys

import atheris

_WATCHED = (
    "exante.documents",
    "exante.drafts",
    "exante.formats",
    "exante.judges",
    "exante.models.replies",
    "exante.models.servers",
    "exante.pages.results",
    "exante.recipes",
    "exante.records",
    "exante.rows",
    "exante.rules",
    "exante.serving",
    "exante.stages.mix",
    "exante.suites",
    "exante.teachers",
    "exante.traces",
    "json",
    "yaml",
)
"""Modules whose branches guide the search."""


def main() -> None:
    """Fuzz until the time is over or something is found."""
    with atheris.instrument_imports(include=list(_WATCHED)):
        from tests.fuzz.targets import TARGETS

    name = sys.argv.pop(1)
    run = next(target.run for target in TARGETS if target.name == name)
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
