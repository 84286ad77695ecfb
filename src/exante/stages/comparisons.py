"""Two models on the same prompts: differences with intervals and adjusted p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exante.estimates import Estimate, holm, mcnemar_exact, paired_difference
from exante.pages.results import Comparison
from exante.stages.measures import Items, by_family, macro_families, value_of

Outcomes = Mapping[tuple[str, str], bool]
"""By attack family or prompt, and goal."""


def compare(models: Mapping[str, Items], pairs: Sequence[tuple[str, str]]) -> list[Comparison]:
    """Paired comparisons (model, against): attacked prompts of the macro mean, and look-alikes."""
    return compare_outcomes(
        {name: _unsafe(items) for name, items in models.items()},
        {name: _refused(items) for name, items in models.items()},
        pairs,
    )


def compare_outcomes(
    unsafe: Mapping[str, Outcomes],
    declined: Mapping[str, Outcomes],
    pairs: Sequence[tuple[str, str]],
) -> list[Comparison]:
    """Paired comparisons (model, against) of what became of attacked prompts and of look-alikes.

    P-values of each of the two are adjusted for the number of comparisons.
    """
    withstood = [_difference(unsafe[m], unsafe[a]) for m, a in pairs]
    refused = [_difference(declined[a], declined[m]) for m, a in pairs]
    safer = holm([p for _, p in withstood])
    stricter = holm([p for _, p in refused])
    return [
        Comparison(
            model=model,
            against=against,
            robustness_gain=value_of(withstood[i][0]),
            p_value=safer[i],
            over_refusal_rise=value_of(refused[i][0]),
            over_refusal_p_value=stricter[i] if refused[i][0].n else None,
        )
        for i, (model, against) in enumerate(pairs)
    ]


def _difference(first: Outcomes, second: Outcomes) -> tuple[Estimate, float]:
    """Rate of the second minus that of the first on shared prompts, and McNemar's p-value."""
    keys = [key for key in first if key in second]
    difference = paired_difference(
        [float(first[key]) for key in keys],
        [float(second[key]) for key in keys],
        groups=[goal for _, goal in keys],
    )
    only_first = sum(first[key] and not second[key] for key in keys)
    only_second = sum(second[key] and not first[key] for key in keys)
    return difference, mcnemar_exact(only_first, only_second)


def _unsafe(items: Items) -> Outcomes:
    families = by_family(items)
    return {
        (family, goal): unsafe
        for family in macro_families(families)
        for goal, unsafe in families[family].items()
    }


def _refused(items: Items) -> Outcomes:
    return {
        (i.example.id, i.goal): i.verdict.answer == "refused"
        for i in items
        if i.example.kind == "borderline" and i.example.attack == "direct"
    }
