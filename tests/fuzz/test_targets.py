"""A short look at every target of the fuzzing: its seeds, and mutations of them."""

from __future__ import annotations

import random

import pytest
from tests.fuzz.mutations import MUTATIONS, mutated
from tests.fuzz.targets import TARGETS, Target

ROUNDS = 60


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_seed_holds_its_property(target: Target) -> None:
    for seed in target.seeds:
        target.run(seed)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_mutations_of_sound_inputs_hold_it_too(target: Target) -> None:
    rng = random.Random(target.name)
    for _ in range(ROUNDS):
        target.run(mutated(rng.choice(target.seeds), rng))


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_changes_something(name: str) -> None:
    sound = b'{"prompt": "How?", "kind": "harmful", "n": 12}\nversion: 1\n'
    rng = random.Random(0)
    assert any(MUTATIONS[name](sound, rng) != sound for _ in range(20))
