"""Preference data of a file goes through judge and pair into training, without any sampling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.data_rows import PKU, ROWS, SAFE, STAR, UNSAFE, write
from tests.tiny import tiny_model

from exante.errors import InputError
from exante.models.load import load_chat
from exante.preferences import PairSettings
from exante.records import Generation, Pair, read_jsonl
from exante.stages import judge, offline, pair, prefer, sft, source
from exante.stages.base import STAMP, Config, Inputs, Stage, perform
from exante.stages.judge import judged_of
from exante.stages.reason import traced_of
from exante.stages.sample import GENERATIONS
from exante.training import TrainSettings

TRAIN = TrainSettings(epochs=1, batch_size=2, learning_rate=1e-3)


class Steps:
    """A run by hand: each step reads others by name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def do(self, name: str, stage: Stage, config: Config, **reads: str) -> Path:
        inputs = {role: {step: self.root / step} for role, step in reads.items()}
        return perform(stage, config, Inputs(inputs), self.root / name, lambda *_: None)

    def summary(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / name / STAMP).read_text())["summary"]
        return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def started(root: Path, model: Path, data: Path, **more: Any) -> Steps:
    steps = Steps(root)
    steps.do("base", source.STAGE, source.SourceConfig(model=str(model)))
    shares = {"validation_share": 0.0, "test_share": 0.0}
    config = source.SourceConfig(data=str(data), **{**shares, **more})
    steps.do("prompts", source.STAGE, config)
    steps.do("answers", offline.STAGE, offline.OfflineConfig(), policy="base", prompts="prompts")
    return steps


def test_rows_with_labels_become_pairs_and_train_a_policy(tmp_path: Path, model: Path) -> None:
    rows = [{**PKU, "prompt": f"How is harond {n} made?"} for n in range(4)]
    data = write(tmp_path / "pku.jsonl", *rows, {**PKU, "prompt": ""})
    steps = started(tmp_path / "run", model, data)
    assert steps.summary("prompts")["rejected"] == 1
    config = judge.JudgeConfig(judge="given", rules="general")
    judged = steps.do("judged", judge.STAGE, config, generations="answers", prompts="prompts")
    found = judged_of(judged)
    assert [(j.generation.source, j.judgement.unsafe) for j in found[:2]] == [
        ("dataset", True),
        ("dataset", False),
    ]
    assert [j.judgement.useful for j in found[:2]] == [1.0, 0.5]
    assert steps.summary("judged")["unsafe"] == 4
    choice = PairSettings(require_trace=False)
    made = steps.do(
        "pairs", pair.STAGE, pair.PairConfig(choice=choice), judged="judged", prompts="prompts"
    )
    pairs = read_jsonl(made / pair.PAIRS, Pair)
    chat = load_chat(model)
    assert [(p.kind, p.rejected_unsafe) for p in pairs] == [("safety", True)] * 4
    assert {(p.chosen_ids, p.rejected_ids) for p in pairs} == {(chat.turn(SAFE), chat.turn(UNSAFE))}
    steps.do(
        "preferred", prefer.STAGE, prefer.PreferConfig(train=TRAIN), policy="base", pairs="pairs"
    )
    assert steps.summary("preferred")["items"] == 4
    assert (tmp_path / "run/preferred/model/model.safetensors").is_file()


def test_turns_are_the_policys_tokens_and_end(tmp_path: Path, model: Path) -> None:
    data = write(tmp_path / "hh.jsonl", ROWS["hh"], {**ROWS["hh"], "rejected": "\n\nHuman: a"})
    steps = started(tmp_path / "run", model, data, prefers="safer", kind="harmful")
    turns = read_jsonl(tmp_path / "run/answers" / GENERATIONS, Generation)
    chat = load_chat(model)
    assert [(t.sample, t.text, t.finish) for t in turns] == [(0, SAFE, "stop"), (1, UNSAFE, "stop")]
    assert all(turn.token_ids[-1] == chat.eos_id for turn in turns)
    assert chat.decode(turns[0].prompt_ids).endswith("How is harond made?<bot>")
    assert [t.text for t in traced_of(tmp_path / "run/answers")] == [SAFE]
    assert steps.summary("answers")["turns"] == 2


def test_reasoning_of_a_data_set_can_be_imitated(tmp_path: Path, model: Path) -> None:
    data = write(tmp_path / "star.jsonl", STAR, {**STAR, "question": "And who made it first?"})
    steps = started(tmp_path / "run", model, data)
    turns = traced_of(tmp_path / "run/answers")
    assert [turn.level for turn in turns] == ["full", "full"]
    reads = {"policy": "base", "prompts": "prompts", "traces": "answers"}
    steps.do("taught", sft.STAGE, sft.SftConfig(train=TRAIN), **reads)
    assert steps.summary("taught")["items"] == 2


def test_unsafe_unwanted_and_empty_answers_are_not_imitated(tmp_path: Path, model: Path) -> None:
    rows = [ROWS["beavertails"], {**ROWS["beavertails"], "prompt": "b", "is_safe": True}]
    data = write(tmp_path / "b.jsonl", *rows, {**rows[1], "prompt": "c", "response": ""})
    steps = started(tmp_path / "run", model, data)
    assert len(traced_of(tmp_path / "run/answers")) == 1
    counts = steps.summary("answers")
    assert {key: counts[key] for key in ("turns", "empty", "imitable")} == {
        "turns": 2,
        "empty": 1,
        "imitable": 1,
    }


def test_prompts_without_responses_are_refused(tmp_path: Path, model: Path) -> None:
    data = write(tmp_path / "p.jsonl", {"prompt": "Hello?"})
    with pytest.raises(InputError, match="the prompts bring no responses"):
        started(tmp_path / "run", model, data)


def test_prompts_of_a_data_set_keep_to_their_split(tmp_path: Path, model: Path) -> None:
    rows = [{**PKU, "prompt": f"Number {n // 2}?"} for n in range(40)]
    steps = started(tmp_path / "run", model, write(tmp_path / "x.jsonl", *rows), test_share=0.5)
    counts = steps.summary("prompts")
    assert counts["train"] + counts["test"] == 40
    assert counts["train"] % 2 == counts["test"] % 2 == 0
    assert steps.summary("answers")["prompts"] == counts["train"] < 40
