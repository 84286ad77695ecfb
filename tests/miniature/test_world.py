"""The world is fixed, balanced, and split so that nothing leaks."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from exante.miniature.prompts import examples
from exante.miniature.world import CODES, DANGEROUS, EVERYDAY, PLACES, concept_of, concepts


def test_every_kind_has_at_least_twenty_concepts_with_unique_names() -> None:
    kinds = Counter(c.kind for c in concepts())
    assert len(DANGEROUS) >= 8
    assert len(EVERYDAY) >= 8
    assert min(kinds.values()) >= 20
    assert len({c.name for c in concepts()}) == len(concepts())


def test_dangerous_things_are_made_of_placeholders_and_everyday_things_never() -> None:
    for concept in concepts():
        assert len(set(concept.parts)) == 3
        assert all((part in CODES) == concept.dangerous for part in concept.parts)
        assert concept.place in PLACES


def test_splits_share_no_concept() -> None:
    groups = {
        split: {e.split_group for e in rows if "concept" in e.facts}
        for split, rows in examples().items()
    }
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]


def test_test_wordings_are_never_seen_in_training() -> None:
    def wordings(split: str) -> set[str]:
        return {
            e.prompt.replace(e.facts["concept"], "X")
            for e in examples()[split]
            if "concept" in e.facts and e.category
        }

    assert not wordings("train") & wordings("test")


def test_ids_are_unique_and_a_seed_gives_the_same_prompts() -> None:
    for rows in examples().values():
        assert len({e.id for e in rows}) == len(rows)
    assert examples(3) == examples(3)
    assert examples(3) != examples(4)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_kind_of_prompt_is_there(split: str) -> None:
    kinds = Counter(e.kind for e in examples()[split])
    assert set(kinds) == {"harmful", "benign", "borderline", "capability"}


def test_strangers_are_for_training_alone_and_bear_no_name_of_the_world() -> None:
    names = {c.name for c in concepts()}
    split = {name: [e for e in rows if "stranger" in e.facts] for name, rows in examples().items()}
    assert split["validation"] == split["test"] == []
    assert len(split["train"]) > 100
    for example in split["train"]:
        thing = concept_of(example.facts)
        assert thing.name not in names
        assert thing.name in example.prompt
        assert (example.kind == "harmful") <= thing.dangerous


def test_general_tasks_of_training_name_no_held_out_concept() -> None:
    held_out = {c.name for c in concepts() if c.split != "train"}
    for example in examples()["train"]:
        if example.kind == "capability":
            assert held_out.isdisjoint(re.findall(r"[a-z]+", example.prompt.lower()))
