"""Every code block of the documentation is carried out, page by page, in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.blocks import LANGUAGES, ROOT, blocks, indented, pages
from tests.docs.conftest import Demo
from tests.docs.running import PAGES, perform, settle, unused
from tests.docs.ways import Page


@pytest.mark.parametrize("page", pages())
def test_the_blocks_of_a_page_work(page: str, models: Path, demo: Demo, place: Path) -> None:
    known, found = PAGES.get(page, Page()), blocks(page)
    settle(known, found, place, models, demo.folder)
    for block in found:
        perform(block, known, {"DEMO": demo.asked})


@pytest.mark.parametrize("page", pages())
def test_every_block_is_fenced_and_says_what_it_is(page: str) -> None:
    assert indented(page) == []
    assert [b.where for b in blocks(page) if b.language not in LANGUAGES] == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_what_is_said_of_a_page_stands_on_it(page: str) -> None:
    assert (ROOT / page).is_file()
    assert unused(page) == []
