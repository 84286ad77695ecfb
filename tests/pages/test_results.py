"""The documented format: what is written is read again, and what does not fit is named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from exante.errors import InputError
from exante.pages.numbers import ModelResult, Spread, Value
from exante.pages.results import (
    Calibration,
    Check,
    Comparison,
    Defended,
    PairAccount,
    Point,
    Results,
    Round,
    SecondOpinion,
    read_results,
)
from exante.pages.wording import finding, headline, rounded, size
from exante.records import Record

PROMISED = {
    "asr_macro",
    "asr_union",
    "over_refusal_lookalike",
    "over_refusal_plain",
    "helpfulness",
    "capability",
    "trace_valid",
    "decision_agreement",
    "response_efficiency",
    "latency_overhead",
    "trace_tokens",
    "answer_tokens",
    "asr_by_attack",
}
"""Names that others rely on; they are only ever added to."""


def saved(results: Results, folder: Path, **changes: Any) -> Path:
    document = results.model_dump(mode="json", by_alias=True) | changes
    path = folder / "results.json"
    path.write_text(json.dumps(document))
    return path


def test_written_results_are_read_again(results: Results, tmp_path: Path) -> None:
    assert read_results(saved(results, tmp_path)) == results


def test_the_promised_names_are_there() -> None:
    assert set(ModelResult.model_fields) >= PROMISED
    assert set(Value.model_fields) == {"value", "low", "high", "n"}


def test_another_schema_is_refused(results: Results, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="schema 2, not 1"):
        read_results(saved(results, tmp_path, schema=2))


def test_a_wrong_field_is_named(results: Results, tmp_path: Path) -> None:
    models = results.model_dump(mode="json")["models"]
    models["erpo"]["asr_macro"]["n"] = "many"
    with pytest.raises(InputError, match=r"models\.erpo\.asr_macro\.n"):
        read_results(saved(results, tmp_path, models=models))


@pytest.mark.parametrize("content", ["", "[1]", "{", "null", "[" * 100_000])
def test_no_results_are_no_traceback(content: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"results\.json"):
        read_results(path)


def test_an_unbounded_number_is_an_unknown_one() -> None:
    value = Value(value=math.nan, low=-math.inf, high=0.5, n=3)
    assert value.model_dump() == {"value": None, "low": None, "high": 0.5, "n": 3}


@pytest.mark.parametrize("address", ["/etc/passwd", "../x", "https://x.y", "javascript:alert(1)"])
def test_files_are_beside_the_page(results: Results, address: str) -> None:
    with pytest.raises(ValueError, match="no path below"):
        Results.model_validate(results.model_dump(by_alias=True) | {"files": {"x": address}})


_DOCUMENTED = [Results, ModelResult, Round, Check, Point, PairAccount, Value]
_DOCUMENTED += [Calibration, Comparison, Defended, SecondOpinion, Spread]


@pytest.mark.parametrize("model", _DOCUMENTED)
def test_every_field_is_documented(model: type[Record]) -> None:
    text = (Path(__file__).parents[2] / "docs/results-schema.md").read_text()
    for name, field in model.model_fields.items():
        said = (field.description or "").replace("\n", " ")
        assert f"| `{field.alias or name}` | {said}" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (999.4, "999\u202fB"),
        (999.7, "1\u202fkB"),
        (1234, "1.23\u202fkB"),
        (999_900_000, "1\u202fGB"),
        (1.5e12, "1.5\u202fTB"),
        (None, "\u2013"),
    ],
)
def test_large_numbers_have_three_digits_and_a_prefix(count: float | None, said: str) -> None:
    assert size(count, "B") == said


def test_a_share_of_not_quite_all_is_not_said_to_be_all() -> None:
    assert rounded(199 / 200, "share") == "99.5\u202f%"
    assert rounded(0.994, "share") == "99\u202f%"


def test_a_headline_says_where_nothing_was_measured(results: Results) -> None:
    assert "Nothing was measured" not in headline(results)
    cut = {name: {"truncated": m.turns, "undetermined": 0} for name, m in results.models.items()}
    lost = {name: m.model_copy(update=cut[name]) for name, m in results.models.items()}
    nothing = results.model_copy(update={"models": lost})
    assert headline(nothing) == "Nothing was measured: 100\u202f% of a model's turns say nothing"
    assert finding(results)[0].startswith("That is the mean over")
    assert "of attacks succeed on ERPO, the mean over" in finding(nothing)[0]
