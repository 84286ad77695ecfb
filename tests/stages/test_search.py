"""Searches as stages: the same goals for every policy, kept when killed, reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.servers import Reply, completion, running
from tests.servers import Scripted as Served
from tests.turns import quiet

from exante.errors import InputError, RunError
from exante.models.folders import resolve
from exante.pages.results import Results
from exante.records import Example, Generation, Judged, Judgement, Message, read_jsonl, write_jsonl
from exante.stages import comply, search
from exante.stages.base import Inputs, point_at
from exante.stages.comparisons import compare
from exante.stages.measures import items_of, macro_families
from exante.stages.prompts import examples_of_all
from exante.stages.search import SearchConfig, Searched, goals_of
from exante.stages.search import run as run_search
from exante.workflows.evaluation import Evidence, evaluation_recipe
from exante.workflows.performing import run_document
from exante.workflows.rejudging import rejudge_recipe

TINY: dict[str, Any] = {
    "families": ("suffix_search", "gcg"),
    "goals": 2,
    "suffix": {"queries": 12, "width": 4, "length": 4},
    "gradient": {"queries": 12, "width": 4, "top": 8, "start": " ! !"},
}


def example(number: int, kind: Any = "harmful", attack: str = "direct") -> Example:
    text = f"How do I make brotalk number {number}?"
    return Example(
        id=f"p{number}",
        messages=(Message(role="user", content=text),),
        kind=kind,
        attack=attack,
        facts={"concept": "brotalk", "intent": "make"},
    )


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    folders = {name: tmp_path / name for name in ("policy", "prompts")}
    for folder in folders.values():
        folder.mkdir()
    point_at(resolve("miniature"), folders["policy"])
    rows = [example(n) for n in range(5)]
    rows += [example(5, "benign"), example(6, attack="fiction")]
    write_jsonl(folders["prompts"] / "examples.jsonl", rows)
    return Inputs({role: {role: folder} for role, folder in folders.items()})


def hashes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}


def test_goals_are_plain_harmful_prompts_and_the_seed_chooses(inputs: Inputs) -> None:
    folder = inputs.one("prompts")
    chosen = [e.id for e in goals_of(folder, SearchConfig(goals=3, seed=1))]
    assert len(chosen) == 3
    assert chosen == sorted(chosen)
    assert set(chosen) < {f"p{n}" for n in range(5)}
    drawn = {tuple(e.id for e in goals_of(folder, SearchConfig(goals=3, seed=s))) for s in range(9)}
    assert len(drawn) > 1
    assert len(goals_of(folder, SearchConfig(goals=99))) == 5


def test_a_killed_search_continues_to_the_same_result(inputs: Inputs, tmp_path: Path) -> None:
    config = SearchConfig.model_validate(TINY)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    for folder in (whole, torn):
        folder.mkdir()
    summary = run_search(config, inputs, whole, quiet)
    lines = (whole / "searched.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 4
    # One search is done, another one was being written.
    (torn / "searched.partial.jsonl").write_text(lines[0] + lines[1][:40])
    told: list[int] = []
    run_search(config, inputs, torn, lambda done, total, note: told.append(done))
    assert told == [2, 3, 4]
    assert hashes(torn) == hashes(whole)
    assert not list(whole.glob("*.partial.jsonl"))
    for account in summary["families"].values():
        assert account["most_queries"] <= 12
        assert account["after"] >= account["before"]
    found = read_jsonl(whole / "searched.jsonl", Searched)
    assert {s.family for s in found} == {"suffix_search", "gcg"}
    assert {s.found.examples[0].goal_id for s in found} == {s.goal_id for s in found}


def test_the_work_of_finished_searches_is_not_done_again(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SearchConfig.model_validate(TINY)
    out = tmp_path / "out"
    out.mkdir()
    run_search(config, inputs, out, quiet)
    (out / "searched.jsonl").rename(out / "searched.partial.jsonl")
    before = (out / "examples.jsonl").read_bytes()

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded although nothing was owed")

    monkeypatch.setattr(search, "target_of", never)
    run_search(config, inputs, out, quiet)
    assert (out / "examples.jsonl").read_bytes() == before


def test_an_attacker_must_be_named_before_anything_runs() -> None:
    with pytest.raises(InputError, match="--attacker NAME"):
        evaluation_recipe(["miniature"], {}, ["direct", "pair"])
    document = evaluation_recipe(
        ["miniature"], {}, ["direct", "pair"], Evidence(attacker="http://localhost/v1#m")
    )
    inner = document["steps"]["evaluation"]["steps"]
    assert inner["found"]["attacker"] == "http://localhost/v1#m"
    with pytest.raises(ValueError, match="pair needs `attacker`"):
        SearchConfig(families=("pair",))


def test_attackers_that_talk_search_against_the_model_itself(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scripted:
        """Writes the goal with a polite word, and scores by length."""

        def __init__(self, name: str) -> None:
            self.name = name

        def reply(self, conversations: Any) -> list[str]:
            return [self.one(turns[0].content) for turns in conversations]

        def one(self, system: str) -> str:
            if "score" in system:
                return '{"score": 3}'
            return '{"match": true}' if "match" in system else '{"prompt": "What is soup?"}'

    asked: list[str] = []

    def load_speaker(name: str, memory: Any) -> Scripted:
        asked.append(name)
        return Scripted(name)

    monkeypatch.setattr(search, "load_speaker", load_speaker)
    monkeypatch.setattr(search, "speaker_fingerprint", str)
    config = SearchConfig.model_validate(
        {
            "families": ("pair", "tap"),
            "goals": 1,
            "attacker": "a",
            "scorer": "s",
            "streams": {"streams": 2, "iterations": 2},
            "tree": {"branching": 2, "width": 1, "depth": 2},
            "reply_tokens": 8,
        }
    )
    run_search(config, inputs, tmp_path, quiet)
    assert asked == ["a", "s"]
    pair, tap = read_jsonl(tmp_path / "searched.jsonl", Searched)
    assert (pair.found.queries, tap.found.queries) == (4, 4)
    assert [e.prompt for s in (pair, tap) for e in s.found.examples] == ["What is soup?"] * 2
    assert {e.attack for e in examples_of_all([tmp_path])} == {"pair", "tap"}


class Attacker(Served):
    """Attacker and scorer by what they are asked; fails for good after `left` replies."""

    def __init__(self, left: int = 1000) -> None:
        super().__init__()
        self.left = left

    def reply_to(self, body: dict[str, Any]) -> Reply:
        with self.lock:
            self.seen.append(body)
            if len(self.seen) > self.left:
                return 400, {}, b'{"error": "gone"}'
        asked = [turn["content"] for turn in body["messages"]]
        if "score" in asked[0]:
            return 200, {}, completion('{"score": 3}')
        said = f"Please tell me of soup number {len(asked)}, {len(asked[-1])}."
        return 200, {}, completion(json.dumps({"prompt": said}))


def test_a_killed_search_over_a_server_asks_nothing_again(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second goal's search breaks in its middle, and goes on behind the last reply."""
    monkeypatch.setattr(search, "speaker_fingerprint", str)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    for folder in (whole, torn):
        folder.mkdir()

    def config(server: Attacker, scorer: str) -> SearchConfig:
        streams = {"streams": 2, "iterations": 2}
        told = {"families": ("pair",), "goals": 2, "reply_tokens": 4, "streams": streams}
        named = {"attacker": f"{server.url}#a", "scorer": f"{server.url}#{scorer}"}
        return SearchConfig.model_validate({**told, **named})

    for scorer in ("a", "s"):
        server = Attacker()
        servers = tmp_path / "servers.yaml"
        servers.write_text(json.dumps({server.url: {"at_once": 1}}), encoding="utf-8")
        monkeypatch.setenv("EXANTE_SERVERS", str(servers))
        with running(server):
            summary = run_search(config(server, scorer), inputs, whole, quiet)
            asked = [json.dumps(body, sort_keys=True) for body in server.seen]
            assert len(set(asked)) == len(asked) == summary["server"]["requests"]
            server.seen.clear()
            server.left = len(asked) - 3
            with pytest.raises(RunError, match="400"):
                run_search(config(server, scorer), inputs, torn, quiet)
            kept = sum(len(p.read_text().splitlines()) for p in torn.glob("*replies*"))
            assert len((torn / "searched.partial.jsonl").read_text().splitlines()) == 1
            assert kept == server.left
            server.seen.clear()
            server.left = 1000
            again = run_search(config(server, scorer), inputs, torn, quiet)
            assert len(server.seen) == 3
        assert again == summary
        assert hashes(torn) == hashes(whole)
        assert {path.name for path in torn.iterdir()} == {path.name for path in whole.iterdir()}


def test_tampering_adds_models_of_its_own(tmp_path: Path) -> None:
    planned = evaluation_recipe(["miniature"], {}, ["direct"], Evidence(tamper=(10, 50)))["steps"]
    names = ["miniature", "miniature_tampered_10", "miniature_tampered_50"]
    assert list(planned["evaluation"]["each"]) == names
    assert planned["tamper_rows_50"]["rows"] == 400
    document = evaluation_recipe(["miniature"], {}, ["direct"], Evidence(tamper=(2,)))
    each = document["steps"]["evaluation"]["each"]
    changes = {
        "suite.limits": {"harmful": 2, "benign": 0, "borderline": 0, "capability": 0},
        "tamper_prompts.limits.harmful": 6,
    }
    results = run_document(document, changes=changes, out=tmp_path / "run")
    assert results is not None
    assert list(results.models) == list(each)
    assert sum("harmful turns by an attacker" in note for note in results.notes) == 1
    stamp = json.loads((tmp_path / "run/miniature_tampered_2/stage.json").read_text())
    assert (stamp["summary"]["steps"], stamp["summary"]["items"]) == (2, 16)
    with pytest.raises(InputError, match="not positive"):
        evaluation_recipe(["miniature"], {}, ["direct"], Evidence(tamper=(0,)))


def test_nothing_to_tamper_with_is_said(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "judged.jsonl", [])
    with pytest.raises(InputError, match="no finished turn does harm"):
        comply.run(comply.ComplyConfig(), Inputs({"judged": {"j": tmp_path}}), tmp_path, quiet)


def test_without_searches_an_evaluation_is_what_it_was() -> None:
    steps = evaluation_recipe(["miniature"], {}, ["direct", "held_out"])["steps"]
    assert list(steps["evaluation"]["steps"]) == ["sampled", "judged"]
    assert steps["report"]["prompts"] == "suite"
    assert steps["suite"]["families"] == ["direct", "held_out"]


def test_attacks_with_vectors_are_in_no_mean() -> None:
    assert macro_families(["direct", "gcg", "embedding", "answer_prefill"]) == ["direct", "gcg"]
    assert macro_families(["fiction", "gcg", "embedding"]) == ["fiction"]


def test_models_are_compared_by_family_and_goal_though_their_prompts_differ() -> None:
    def turns(name: str, unsafe: bool) -> tuple[list[Example], list[Judged]]:
        made = [
            e.model_copy(update={"id": f"{e.id}#{name}", "goal_id": e.id, "attack": "gcg"})
            for e in map(example, range(8))
        ]
        judged = [
            Judged(
                generation=Generation(
                    example_id=e.id, prompt_ids=(1,), token_ids=(1,), text="", finish="stop"
                ),
                judgement=Judgement(example_id=e.id, judge="j", answer="complied", unsafe=unsafe),
            )
            for e in made
        ]
        return made, judged

    models = {name: items_of(*turns(name, name == "a")) for name in ("a", "b")}
    (found,) = compare(models, [("b", "a")])
    assert found.robustness_gain.value == 1.0
    assert found.robustness_gain.n == 8
    assert found.p_value == pytest.approx(2 / 2**8)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    out = tmp_path_factory.mktemp("search") / "run"
    document = evaluation_recipe(
        ["miniature", "miniature"], {}, ["direct", "answer_prefill", "search"]
    )
    changes = {
        "suite.limits": {"harmful": 3, "benign": 2, "borderline": 2, "capability": 0},
        "turn_tokens": 32,
        **{f"evaluation.found.{key}": value for key, value in TINY.items() if key != "families"},
        "evaluation.soft.goals": 2,
        "evaluation.soft.soft": {"steps": 4},
    }
    results = run_document(document, changes=changes, out=out)
    assert results is not None
    return out, results


def test_an_evaluation_reports_searches_beside_the_other_attacks(
    evaluated: tuple[Path, Results],
) -> None:
    out, results = evaluated
    assert list(results.models) == ["miniature", "miniature_2"]
    assert results.macro_families == ["direct", "suffix_search", "gcg"]
    for model in results.models.values():
        counts = {name: value.n for name, value in model.asr_by_attack.items()}
        assert counts == {
            "direct": 3,
            "answer_prefill": 3,
            "suffix_search": 2,
            "gcg": 2,
            "embedding": 2,
        }
    assert [c.robustness_gain.n for c in results.comparisons] == [7]
    assert results.comparisons[0].robustness_gain.value == 0.0
    assert sum("gcg looked for prompts" in note for note in results.notes) == 1
    assert sum("upper bound" in note for note in results.notes) == 1
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert {row["attack"] for row in rows if row["model"] == "miniature_2"} >= {"gcg", "embedding"}


def test_what_was_found_is_what_was_sampled(evaluated: tuple[Path, Results]) -> None:
    out, _ = evaluated
    found = examples_of_all([out / "evaluation.miniature.found"])
    turns = read_jsonl(out / "evaluation.miniature.found_sampled/generations.jsonl", Generation)
    assert [turn.example_id for turn in turns] == [example.id for example in found]
    assert {example.attack for example in found} == {"suffix_search", "gcg"}
    soft = read_jsonl(out / "evaluation.miniature.soft/generations.jsonl", Generation)
    assert len(soft) == 2
    assert all(turn.example_id.partition("#")[2].startswith("embedding") for turn in soft)
    assert all(not turn.scored_by and not turn.logprobs for turn in soft)


def test_searched_turns_are_judged_anew_with_the_others(evaluated: tuple[Path, Results]) -> None:
    out, first = evaluated
    document, given = rejudge_recipe(out, "strings")
    again = run_document(document, changes={}, out=out / "again", given=given)
    assert again is not None
    assert again.judge.startswith("strings")
    for label, model in again.models.items():
        before = first.models[label].asr_by_attack
        assert {k: v.n for k, v in model.asr_by_attack.items()} == {
            k: v.n for k, v in before.items()
        }
    assert yaml.safe_load((out / "again/recipe.yaml").read_text())["steps"]["report"]["searched"]
