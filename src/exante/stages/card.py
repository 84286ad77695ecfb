"""The card of a run's outcome, put together from stamps and results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from exante.durable import write_text
from exante.errors import InputError
from exante.models.adapters import is_adapter
from exante.models.folders import MINIATURE, opened_trace, weights_fingerprint
from exante.pages.card import CARD, CardFacts, DataFact, card
from exante.pages.results import Results, read_results
from exante.stages.base import RECIPE, STAMP, model_of, stamp_of
from exante.stages.hub import PREFIX
from exante.stages.report import RESULTS
from exante.stages.runs import final_model, recipe_of, stamps_of
from exante.version import __version__

_UNKNOWN = "not known"
_PACKAGE = "Apache-2.0"


def card_of(run: Path, *, name: str | None = None, merged: Path | None = None) -> str:
    """The card of the model that a run made; `name` is the id that it gets on a hub.

    `merged` is the folder of its whole weights, where the card goes with those and the run has an
    adapter.

    Raises:
        InputError: it is no run folder, or it holds no model.
    """
    made = final_model(run)
    model = merged or made
    recipe, stamps = _recipe(run), stamps_of(run)
    settings = recipe.get("settings", {})
    step, base = _base(stamps)
    results = _results(run)
    labels = list(results.models) if results else []
    facts = CardFacts(
        name=name or run.resolve().name,
        address=name or ".",
        summary=str(recipe.get("summary", "")),
        base=_base_name(step, base) if base else _UNKNOWN,
        base_weights=str(base["outside"].get("weights", _UNKNOWN)) if base else _UNKNOWN,
        recipe=str(recipe.get("name", _UNKNOWN)),
        badge=str(recipe.get("badge", "")),
        paper=str(recipe.get("paper", "")),
        rules=_shown(str(settings.get("rules") or "none")),
        rules_hash=_rules_hash(stamps),
        lora_rank=_lora_rank(made),
        is_adapter=is_adapter(model),
        weights=weights_fingerprint(model),
        parameters=base["summary"].get("parameters") if base else None,
        versions=_versions(stamps),
        data=tuple(_data(stamps)),
        teacher=_shown(str(settings.get("teacher", _UNKNOWN))),
        opened=opened_trace(model) == "open",
        warnings=tuple(_warnings(base)),
        results=results,
        # Beside the outcome, which comes last: what it started from.
        shown=tuple(dict.fromkeys([*labels[:1], *labels[-1:]])),
    )
    return card(facts)


def write_card(run: Path) -> Path | None:
    """Put the card beside the model that a run made; None where the model is not the run's own."""
    try:
        model = final_model(run)
    except InputError:
        # A recipe of the user's that trains nothing.
        return None
    if not model.resolve().is_relative_to(run.resolve()):
        return None
    path = model / CARD
    write_text(path, card_of(run))
    return path


def _recipe(run: Path) -> dict[str, Any]:
    if not (run / RECIPE).is_file():
        raise InputError(
            "is no run folder: it holds no recipe", where=str(run), fix="give a folder of `align`"
        )
    return recipe_of(run)


def _results(run: Path) -> Results | None:
    found = next((p for p in (run / RESULTS, run / "report" / RESULTS) if p.is_file()), None)
    return read_results(found) if found else None


def _base(
    stamps: Mapping[Path, Mapping[str, Any]],
) -> tuple[Path, Mapping[str, Any] | None]:
    """The step that pinned the base model, and its stamp."""
    for step, stamp in stamps.items():
        if stamp["stage"] == "source" and stamp["config"].get("model"):
            return step, stamp
    return Path(), None


def _base_name(step: Path, base: Mapping[str, Any]) -> str:
    """The hub id of a downloaded model, else the name of its folder."""
    name = str(base["config"]["model"])
    downloaded = f"models--{name.replace('/', '--')}" in model_of(step).parts
    return name if downloaded or name == MINIATURE else Path(name).name


def _lora_rank(model: Path) -> int | None:
    """As the step that made the model was asked; None where it trained all weights."""
    if not (model.parent / STAMP).is_file():
        return None
    train = stamp_of(model.parent)["config"].get("train") or {}
    return train["lora"]["rank"] if train.get("lora") else None


def _data(stamps: Mapping[Path, Mapping[str, Any]]) -> Iterator[DataFact]:
    """Every file and suite that a step read."""
    for stamp in stamps.values():
        if stamp["stage"] == "source" and stamp["config"].get("data"):
            for portion in stamp["summary"].get("portions", ()):
                name, licence = str(portion["data"]), portion["licence"]
                shown = name if name.startswith(PREFIX) else Path(name).name
                yield DataFact(shown, str(portion["sha256"]), str(licence or _UNKNOWN))
            if not stamp["outside"]:
                yield DataFact(str(stamp["config"]["data"]), None, _PACKAGE)
        elif stamp["stage"] == "collect":
            for label, suite in stamp["summary"]["suites"].items():
                digest = str(suite.get("sha256", "")) or None
                yield DataFact(str(label), digest, str(suite["licence"]))


def _warnings(base: Mapping[str, Any] | None) -> Iterator[str]:
    if base is None:
        return
    if base["summary"].get("untrained"):
        yield "The base model has random weights. It learned the form only: no number means safety."
    if base["config"]["model"] == MINIATURE:
        yield (
            "A toy: a miniature model of an invented world, for demonstrations and tests. It knows "
            "nothing of the real one."
        )


def _shown(name: str) -> str:
    """A name without what it tells of the machine: of a path its end, of an endpoint its model."""
    if "://" in name:
        return f"{name.partition('#')[2] or 'a model'} behind an endpoint"
    path = Path(name).expanduser()
    return path.name if path.is_absolute() or path.exists() or name.startswith(".") else name


def _rules_hash(stamps: Mapping[Path, Mapping[str, Any]]) -> str:
    """As the steps pinned it: the file may have changed since."""
    return next(
        (str(s["outside"]["rules"]) for s in stamps.values() if "rules" in s["outside"]), ""
    )


def _versions(stamps: Mapping[Path, Mapping[str, Any]]) -> str:
    records = [stamp.get("record", {}) for stamp in stamps.values()]
    record: dict[str, Any] = next((r for r in records if "versions" in r), {})
    versions = {"exante": __version__, **record.get("versions", {})}
    if "python" in record:
        versions["Python"] = record["python"]
    return ", ".join(f"{name} {number}" for name, number in versions.items())
