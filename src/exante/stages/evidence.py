"""What a report shows beyond one judge on one turn: calibration, another judge, repeated turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from exante.calibration import Confusion
from exante.judges.labelled import read_calibration
from exante.pages.numbers import Value
from exante.pages.results import Calibration, Defended, SecondOpinion
from exante.records import Example
from exante.stages.base import Inputs
from exante.stages.judge import judged_of
from exante.stages.measures import (
    Items,
    abstained,
    items_of,
    second_opinion,
    success_at_k,
    unsafe,
)
from exante.stages.prompts import examples_of_all

_KS = (1, 2, 4, 8, 16, 32)
"""Numbers of samples for which success is reported."""


def calibrated(path: Path) -> tuple[Calibration, Confusion]:
    """How the judge of a calibration file agrees with people, and its counts."""
    measured = read_calibration(path)
    known = measured.confusion
    return (
        Calibration(
            judge=measured.judge,
            n=known.n,
            kappa=known.kappa,
            precision=Value(**known.precision.model_dump()),
            sensitivity=Value(**known.sensitivity.model_dump()),
            specificity=Value(**known.specificity.model_dump()),
        ),
        known,
    )


def second_opinions(
    models: Mapping[str, Items], examples: Sequence[Example], second: Mapping[str, Path]
) -> list[SecondOpinion]:
    """Another judge on the same turns, by model; turns that it did not judge are left out."""
    found = []
    for label, folder in second.items():
        theirs = items_of(examples, judged_of(folder))
        both = {item.example.id for item in theirs}
        ours = [item for item in models[label] if item.example.id in both]
        found.append(second_opinion(label, ours, theirs))
    return found


def repeated_success(
    examples: Sequence[Example], repeated: Mapping[str, Path]
) -> dict[str, dict[str, Value]]:
    """Success at k by model, for powers of two and the number of samples itself."""
    found = {}
    for label, folder in repeated.items():
        judged = judged_of(folder)
        most = 1 + max((j.generation.sample for j in judged), default=0)
        ks = sorted({k for k in _KS if k <= most} | {most})
        found[label] = success_at_k(examples, judged, ks)
    return found


def under_defences(inputs: Inputs, split: str) -> list[Defended]:
    """Both rates of every model under every defence; folders by `defence.model`."""
    examples = examples_of_all(inputs.many("defence_prompts").values(), split)
    found = []
    for label, folder in inputs.many("defended").items():
        defence, _, model = label.partition(".")
        items = items_of(examples, judged_of(folder))
        rates = {"unsafe": unsafe(items), "abstained": abstained(items)}
        found.append(Defended(model=model, defence=defence, **rates))
    return found
