"""The page of a comparison: every method and number, the front in words, safe and readable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.pages.browser import Browser
from tests.pages.conftest import about, rate
from tests.pages.test_browser import UNREADABLE, browser  # noqa: F401 (a fixture)
from tests.pages.test_render import read

from exante.pages.compared import Compared, Cost, Method
from exante.pages.comparing import front, headline, others, page, status
from exante.pages.results import Comparison
from exante.records import Record

HOSTILE = "<img src=x onerror=alert(1)>"


def method(name: str, attacks: float, refused: float, tokens: float, **more: object) -> Method:
    cost = Cost(tokens=1.2e6, seconds=75.0, peak_bytes=1_500_000_000)
    fields: dict[str, object] = {"badge": "adapted", "paper": "arXiv 1", "training": cost, **more}
    return Method(
        name=name,
        direct=rate(attacks / 2, 60),
        trained=rate(attacks, 360),
        held_out=rate(attacks, 480),
        union=rate(min(1.0, attacks * 3), 60),
        over_refusal=rate(refused, 120),
        helpfulness=about(0.98, 0.02, 120),
        tokens=about(tokens, 2.0, 120),
        **fields,
    )


def compared(**changes: object) -> Compared:
    """Eleven methods: two on the front, one that collapsed."""
    base = method("base", 0.97, 0.0, 80, badge="", paper="", training=None)
    rows = [
        method("erpo", 0.01, 0.02, 90),
        method("safedpo", 0.005, 0.3, 60),
        method("dpo", 0.05, 0.4, 95, behind=["erpo", "safedpo"]),
        method("cdpo", 0.0, 0.9, 20, collapsed="answers 40% of the benign prompts"),
        *(method(f"other_{n}", 0.1 + n / 50, 0.1, 95, behind=["erpo"]) for n in range(7)),
    ]
    tests = [
        Comparison(
            model=row.name,
            against="erpo",
            robustness_gain=about(-0.04, 0.02, 480),
            p_value=0.003,
            over_refusal_rise=about(0.1, 0.03, 120),
            over_refusal_p_value=0.2,
        )
        for row in rows[1:]
    ]
    found = Compared(
        schema=1,
        base=base,
        methods=rows,
        reference="erpo",
        comparisons=tests,
        seeds=[0, 1, 2],
        settings={"model": "miniature", "sft_tokens": "600000"},
        reports={str(seed): f"seed-{seed}/report.html" for seed in range(3)},
        environment={"python": "3.12"},
    )
    return found.model_copy(update=changes)


def test_the_front_is_told_in_words_and_who_is_not_on_it() -> None:
    found = compared()
    assert headline(found) == "ERPO is on the Pareto front, beside SafeDPO"
    assert front(found)[0].startswith("SafeDPO: 0.5\u202f% of held-out attacks, 30\u202f% of look-")
    assert any(
        line == "C-DPO collapsed: it answers 40% of the benign prompts." for line in others(found)
    )
    assert any(
        line.startswith("DPO, ") and "behind ERPO and SafeDPO" in line for line in others(found)
    )
    said = {row.name: status(row, found) for row in (found.base, *found.methods)}
    assert said["base"] == "start"
    assert (said["erpo"], said["dpo"], said["cdpo"]) == ("front", "behind", "collapsed")
    assert headline(compared(reference="dpo")) == "DPO is behind ERPO and SafeDPO"
    assert headline(compared(reference="cdpo")).startswith("C-DPO collapsed: it answers 40%")


def test_every_method_number_and_file_is_on_the_page() -> None:
    reader = read(page(compared()))
    text = " ".join(" ".join(reader.text).split())
    for row in compared().methods:
        assert row.badge in text
    for words in ("SafeDPO", "Other 6", "collapsed", "1.2 M", "1.5 GB", "1 min 15 s"):
        assert words in text
    links = {a.get("href") for tag, a in reader.tags if tag == "a"}
    assert {"compare.json", "seed-0/report.html", "seed-2/report.html"} <= links
    assert sum(tag == "circle" and "spot" in (a["class"] or "") for tag, a in reader.tags) > 12
    plane, corner = (a for tag, a in reader.tags if tag == "svg" and a["class"] == "scatter")
    assert "SafeDPO" in (plane["aria-label"] or "")
    assert "C-DPO" not in (corner["aria-label"] or "")


def test_more_tokens_make_a_larger_point_and_the_front_is_coloured() -> None:
    spots = re.findall(r'class="spot (\w+)"[^>]* r="([\d.]+)"', page(compared()))[:12]
    assert [tone for tone, _ in spots].count("last") == 2
    assert spots[0][0] == "baseline"
    radii = [float(radius) for _, radius in spots]
    assert max(radii) == 10.0
    assert min(radii) == radii[4] == 3.5


def test_hostile_names_stay_text_and_nothing_is_loaded() -> None:
    found = page(compared(methods=[method("erpo", 0.1, 0.1, 9, paper=HOSTILE)], comparisons=[]))
    reader = read(found)
    assert all(tag not in ("img", "script") for tag, _ in reader.tags)
    assert HOSTILE in "".join(reader.text)
    assert "default-src 'none'" in found
    assert "script-src" not in found


def test_a_long_front_is_counted_in_the_headline() -> None:
    rows = [method(f"other_{n}", 0.1 + n / 50, 0.1 - n / 100, 95) for n in range(5)]
    found = compared(methods=[method("erpo", 0.01, 0.2, 90), *rows])
    assert headline(found) == "ERPO is on the Pareto front, beside 5 others"


def test_one_seed_and_nothing_measured_is_a_page_too() -> None:
    bare = compared(methods=[Method(name="erpo")], comparisons=[], seeds=[0])
    assert "One seed" in page(bare)
    assert headline(bare) == "ERPO: no rates"
    assert status(bare.methods[0], bare) == "not measured"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_and_fits(browser: Browser, tmp_path: Path, scheme: str) -> None:  # noqa: F811
    path = tmp_path / "compare.html"
    path.write_text(page(compared()), encoding="utf-8")
    browser.emulate(prefers_color_scheme=scheme)
    browser.open(path)
    seen, bad = browser.js(UNREADABLE)
    assert seen > 200
    assert bad == []
    for width in (360, 1280):
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        assert browser.js("document.documentElement.scrollWidth") <= width
    browser.call("Emulation.clearDeviceMetricsOverride")
    browser.emulate()


@pytest.mark.parametrize("record", [Compared, Method, Cost])
def test_every_field_is_documented(record: type[Record]) -> None:
    text = (Path(__file__).parents[2] / "docs/compare.md").read_text().replace("\n", " ")
    for name, field in record.model_fields.items():
        said = (field.description or "").replace("\n", " ")
        assert f"| `{field.alias or name}` | {said}" in text


def test_names_never_overlap_or_leave_the_drawing() -> None:
    rows = [method(f"m{n}", 0.001 * n, 0.01, 50) for n in range(22)]
    found = page(compared(methods=[*rows, method("erpo", 0.02, 0.01, 60)], comparisons=[]))
    found = found.partition("The lower left corner")[0]
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" class="spot-name', found))
    heights = heights or sorted(float(y) for y in re.findall(r'spot-name[^>]* y="([\d.]+)"', found))
    assert len(heights) == 24
    assert all(b - a >= 12 for a, b in zip(heights, heights[1:], strict=False))
    (whole,) = re.findall(r'class="scatter"[^>]* height="([\d.]+)"', found)
    assert heights[-1] <= float(whole)
