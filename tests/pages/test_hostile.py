"""Every field that comes from outside holds a script: on both pages it is text, and nothing runs.

The pages are tried with their content security policy taken out, so that escaping alone is tested.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel, ValidationError
from tests.pages.browser import Browser
from tests.pages.conftest import synthetic, transcripts
from tests.pages.test_browser import RUNS, browser  # noqa: F401 (a fixture)
from tests.pages.test_comparing import compared

from exante.pages.card import CardFacts, DataFact, card
from exante.pages.comparing import page
from exante.pages.markdown import table
from exante.pages.render import render
from exante.pages.results import Results, Transcript
from exante.rules import Category, Clause, RuleSet

HOSTILE = (
    f'</textarea></title></style></script><script>{RUNS}</script><img src=x onerror="{RUNS}">'
    f'"\'><svg onload="{RUNS}"></svg><a href="javascript:{RUNS}">x</a>\u2028{{{{ 7 * 7 }}}}'
)
POLICY = re.compile(r"<meta http-equiv=.Content-Security-Policy.[^>]*>")
R = TypeVar("R", bound=BaseModel)


def poisoned(record: R) -> tuple[R, set[str]]:
    """The record with the script behind every text, names in mappings included.

    And the names of fields that take no text but what they list.
    """
    kept: set[tuple[Any, ...]] = set()
    for _ in range(6):
        try:
            found = type(record).model_validate(_poisoned(record, kept))
            return found, {str(next(p for p in reversed(k) if _is_name(p))) for k in kept}
        except ValidationError as error:
            kept |= {tuple(p for p in e["loc"] if p != "[key]") for e in error.errors()}
    raise AssertionError(kept)


def _is_name(part: object) -> bool:
    return isinstance(part, str) and HOSTILE not in part


def _poisoned(value: Any, kept: set[tuple[Any, ...]], path: tuple[Any, ...] = ()) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        names = {name: fields[name].alias or name for name in fields} | {
            name: name for name in value.model_extra or {}
        }
        return {a: _poisoned(getattr(value, n), kept, (*path, a)) for n, a in names.items()}
    if isinstance(value, dict):
        return {
            f"{key}{HOSTILE}": _poisoned(item, kept, (*path, f"{key}{HOSTILE}"))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_poisoned(item, kept, (*path, number)) for number, item in enumerate(value)]
    return f"{value}{HOSTILE}" if isinstance(value, str) and path not in kept else value


def ruleset() -> RuleSet:
    """Rules of a file of the user's, with words for what the transcripts name."""
    named = (
        Category(
            id=f"M0{n}",
            title=HOSTILE,
            definition=HOSTILE,
            prohibited=tuple(Clause(id=f"M0{n}.{m}", text=HOSTILE) for m in range(1, 4)),
        )
        for n in range(1, 7)
    )
    return RuleSet(version=1, name=HOSTILE, categories=tuple(named))


def opened(browser: Browser, text: str, folder: Path) -> None:  # noqa: F811
    unguarded, count = POLICY.subn("", text)
    assert count == 1
    (folder / "page.html").write_text(unguarded, encoding="utf-8")
    browser.open(folder / "page.html")
    browser.js("document.querySelectorAll('details').forEach(d => d.open = true)")


def require_nothing_ran(browser: Browser, scripts: int) -> None:  # noqa: F811
    assert browser.js("window.ran") is None
    assert browser.js("document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert browser.js("document.querySelectorAll('script').length") == scripts
    assert browser.js("document.querySelectorAll('[onload], [onerror], [onclick]').length") == 0
    assert browser.js("[...document.querySelectorAll('a')].every(a => a.protocol === 'file:')")
    assert "{{ 7 * 7 }}" in browser.js("document.body.textContent")


def test_a_report_of_hostile_fields(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    results, listed = poisoned(synthetic())
    assert listed <= {"files", "schema"}
    shown: list[Transcript] = []
    for one in transcripts()[:6]:
        found, fixed = poisoned(one)
        assert fixed <= {"kind", "verdict", "finish", "others"}
        shown.append(found)
    opened(browser, render(results, shown, ruleset()), tmp_path)
    require_nothing_ran(browser, scripts=1)
    assert browser.js("document.getElementById('shown').textContent") == "6 of 6 prompts"
    drawn = browser.js("[...document.querySelectorAll('svg text')].map(e => e.textContent).join()")
    assert "<script>" in drawn or "</textarea>" in drawn


def test_a_comparison_of_hostile_fields(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    found, listed = poisoned(compared())
    assert listed <= {"reports", "schema"}
    opened(browser, page(found), tmp_path)
    require_nothing_ran(browser, scripts=0)
    assert browser.js("document.querySelectorAll('#table tbody tr').length") == 12


def test_links_to_scripts_and_other_places_are_refused() -> None:
    for address in (f"javascript:{RUNS}", "//a.example/x", "/etc/x", "../x", "data:text/html,x"):
        for whole, field in ((synthetic(), "files"), (compared(), "reports")):
            document = whole.model_dump(by_alias=True) | {field: {"x": address}}
            with pytest.raises(ValidationError, match="no path below the folder"):
                type(whole).model_validate(document)


def test_hostile_names_are_no_markup_on_a_card_or_in_a_table() -> None:
    results, _ = poisoned(synthetic())
    names = ("name", "summary", "base", "recipe", "badge", "paper", "rules", "versions", "teacher")
    words: dict[str, Any] = dict.fromkeys(names, HOSTILE)
    text = card(
        CardFacts(
            **words,
            address=".",
            base_weights="ab",
            rules_hash="ab",
            lora_rank=None,
            is_adapter=False,
            weights="ab",
            parameters=None,
            data=[DataFact(HOSTILE, None, HOSTILE)],
            opened=True,
            warnings=[HOSTILE],
            results=results,
        )
    )
    body = text.split("\n---\n", 1)[1]
    for written in (body, table([results])):
        assert re.search(r"(?<!\\)<(?=script|img|svg|a |/script)", written) is None
        assert r"\<script\>" in written
    assert type(results) is Results
