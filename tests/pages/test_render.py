"""The page: complete, self-contained, and safe to open whatever models and users wrote."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante import rules
from exante.pages.numbers import NOT_MEASURED
from exante.pages.render import render
from exante.pages.results import Results, Transcript, Turn

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
VOID = {"meta", "link", "br", "hr", "img", "input", "line", "path", "circle", "rect", "polyline"}


class Reader(HTMLParser):
    """Tags, attributes and text of a page; notices tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def transcript(text: str) -> Transcript:
    turn = Turn(
        assess=text,
        checks=[f"M01.1 violated: {text}"],
        calibrate=text,
        answer=text,
        verdict="refused",
        unsafe=False,
        defects=[text],
    )
    raw = Turn(raw_trace=text, answer=text, verdict="undetermined", unsafe=None)
    return Transcript(
        prompt=text,
        kind="harmful",
        attack="direct",
        prefill=text,
        turns={"base": raw, "erpo": turn},
    )


@pytest.fixture
def page(results: Results, shown: list[Transcript]) -> str:
    return render(results, shown, rules.load("miniature"))


def test_every_model_measure_family_and_decision_is_there(page: str, results: Results) -> None:
    text = " ".join(read(page).text)
    for label in ("Base", "Refusal SFT", "ERPO stage 1", "ERPO stage 2", "Capability"):
        assert label in text
    for family in results.macro_families:
        assert family.replace("_", " ") in text.lower()
    assert "rolled back" in text.lower()
    assert results.notes[0] in text
    assert "Payload split" in text


def test_defences_stand_beside_each_other(page: str, results: Results) -> None:
    section = page[page.index('<section id="defences"') :]
    section = section[: section.index("</section>")]
    assert section.count('class="scatter"') == 2
    assert section.count("<tr>") == 1 + len(results.defences)
    assert (
        "Check output: unsafe answers 19\u202f%, abstained, harmless prompts 40\u202f%" in section
    )
    bare = render(results.model_copy(update={"defences": []}), [])
    assert 'id="defences"' not in bare


def test_a_measure_that_is_better_neither_way_has_no_arrow(results: Results) -> None:
    models = {
        name: model.model_copy(update={"faithful_to_comply": model.helpfulness})
        for name, model in results.models.items()
    }
    page = render(results.model_copy(update={"models": models}), [])
    row = page[page.index("Follows an edit to comply") :]
    assert "is better" not in row[: row.index("</th>")]
    assert "higher is better" in page


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    for tag, attributes in read(page).tags:
        assert tag not in ("iframe", "object", "embed", "base")
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            value = attributes.get(name) or ""
            assert not re.match(r"(?i)\s*(https?:|//|javascript:)", value), (tag, value)
    assert "@import" not in page
    assert "url(http" not in page


def test_the_policy_lets_the_pages_own_script_run_and_no_other(page: str) -> None:
    reader = read(page)
    policy = next(
        attributes["content"] or ""
        for tag, attributes in reader.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_hostile_text_stays_text(results: Results) -> None:
    page = render(results, [transcript(HOSTILE)], rules.load("miniature"))
    reader = read(page)
    assert sum(tag == "script" for tag, _ in reader.tags) == 1
    assert all(tag != "img" for tag, _ in reader.tags)
    assert all(not name.startswith("on") for _, attributes in reader.tags for name in attributes)
    assert "{{ 7 * 7 }}" in "".join(reader.text)


@given(st.text(max_size=80))
def test_any_text_makes_a_page_that_can_be_saved(text: str) -> None:
    results = Results(
        schema=1,
        title=text,
        recipe=text,
        judge=text,
        rules=text,
        models={},
        comparisons=[],
        rounds=[],
        pairs={},
        seconds={text: 1.0},
        macro_families=[],
        notes=[text],
        environment={text: text},
    )
    read(render(results, [transcript(text)]).encode("utf-8").decode("utf-8"))


def test_what_was_not_measured_is_a_dash_and_no_zero(results: Results) -> None:
    nothing = {
        name: model.model_copy(update={"latency_overhead": NOT_MEASURED})
        for name, model in results.models.items()
    }
    page = render(results.model_copy(update={"models": nothing}), [])
    row = page[page.index("Latency overhead") :]
    row = row[: row.index("</tr>")]
    assert row.count("–") >= len(results.models)
    assert "\u202f%" not in row


def test_a_run_without_rounds_pairs_and_transcripts_is_a_page_too(results: Results) -> None:
    bare = results.model_copy(
        update={"rounds": [], "pairs": {}, "course": [], "comparisons": [], "notes": []}
    )
    assert "Attack success" in "".join(read(render(bare, [])).text)
