"""The pages hang together: the menu holds all of them, and every link leads somewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs import reference
from tests.docs.blocks import ROOT, pages

DOCS = ROOT / "docs"
_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(<?([^)\s>]+)>?\)|<img [^>]*src=\"([^\"]+)\"")
_FENCED = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)


def in_menu(part: Any) -> Iterator[str]:
    """Paths in a part of the menu."""
    if isinstance(part, str):
        yield part
    else:
        for inner in part.values() if isinstance(part, dict) else part:
            yield from in_menu(inner)


def anchor(heading: str) -> str:
    """What a heading is linked by, on the site and on code hosts alike."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain.replace("`", "")).strip().lower())


def anchors(page: Path) -> set[str]:
    """All that can be linked to on a page; a heading that comes again gets a number."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    found: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        name = anchor(heading)
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


def links(page: Path) -> Iterator[str]:
    """Targets of the page's links to files."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    for first, second in _LINK.findall(text):
        target = first or second
        if not re.match(r"[a-z]+:", target):
            yield target


def broken(page: Path) -> list[str]:
    """Links that lead nowhere."""
    found = []
    for target in links(page):
        name, _, part = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (part and part not in anchors(file)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", [*pages(), "CHANGELOG.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    assert broken(ROOT / page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One thing\n[a](page.md#one-thing) [b](#two) [c](gone.md) `[d](e)`\n")
    assert broken(page) == ["#two", "gone.md"]


def test_the_menu_holds_every_page_once() -> None:
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    there = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(in_menu(menu)) == sorted(there)


def test_no_page_of_the_site_links_out_of_it() -> None:
    out = [
        (page.name, target)
        for page in DOCS.rglob("*.md")
        for target in links(page)
        if not (page.parent / target.partition("#")[0]).resolve().is_relative_to(DOCS)
    ]
    assert out == []


def test_the_page_of_commands_is_as_their_help() -> None:
    written = (ROOT / reference.PAGE).read_text(encoding="utf-8")
    assert written == reference.generated(), "python -m tests.docs.reference writes it anew"


def test_python_is_documented_in_full() -> None:
    import exante

    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert {n for n in exante.__all__ if n not in text} == {"__version__"}
