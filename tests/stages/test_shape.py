"""Beginnings of turns are judged as a user would see them so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Reply, Scripted, completion, running
from tests.tiny import tiny_model
from tests.turns import HARM, HELP, asked, harm, judged_folder, prompts_folder, quiet, turn

from exante.errors import InputError, RunError
from exante.judges import AnswerJudgement
from exante.models.load import load_chat
from exante.records import Example, Judged, Row, read_jsonl
from exante.stages.base import Inputs, model_of
from exante.stages.shape import ROWS, STAGE, ShapeConfig

HERE = "tests.stages.test_shape"


class Codes:
    """Unsafe as soon as a placeholder part is told."""

    name = "codes@1"

    def judge(self, example: Example, answer: str, finish: str) -> AnswerJudgement:
        return AnswerJudgement(answer="complied", unsafe="q1" in answer)


class Graded(Codes):
    """A guard that gives its chance, and cannot tell of a few letters."""

    def judge(self, example: Example, answer: str, finish: str) -> AnswerJudgement:
        if len(answer) < 12:
            return AnswerJudgement(answer="undetermined", unsafe=None)
        return AnswerJudgement(answer="complied", unsafe=False, harm=0.25)


class Silent(Codes):
    """Never tells."""

    def judge(self, example: Example, answer: str, finish: str) -> AnswerJudgement:
        return AnswerJudgement(answer="undetermined", unsafe=None)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("shape"))


def weighed(
    tmp_path: Path, policy: Path, turns: list[Judged], judge: str, chunk: int = 3
) -> list[Row]:
    place = judged_folder(tmp_path / "judged", turns, policy)
    prompts = prompts_folder(tmp_path / "prompts", [asked("a"), asked("b")])
    (out := tmp_path / "out").mkdir()
    inputs = Inputs({"judged": {"judged": place}, "prompts": {"prompts": prompts}})
    config = ShapeConfig(judge=f"{HERE}:{judge}", chunk_tokens=chunk, strength=0.5)
    summary = STAGE.run(config, inputs, out, quiet)
    assert model_of(out) == policy
    assert summary["rows"] == sum(t.generation.finish == "stop" for t in turns)
    return read_jsonl(out / ROWS, Row)


def test_a_turn_is_learned_until_it_does_harm(tmp_path: Path, policy: Path) -> None:
    chat = load_chat(policy)
    turns = [harm(chat, "a"), turn(chat, "b", HELP)]
    bad, good = weighed(tmp_path, policy, turns, "Codes")
    assert set(good.weight) == {1.0}  # type: ignore[arg-type]
    assert set(good.pull) == {0.0}  # type: ignore[arg-type]
    assert isinstance(bad.weight, tuple)
    # Up to the chunk in which the first part is told, and no further.
    ids = chat.encode(HARM)
    told = next(n for n in range(len(ids)) if "q1" in chat.decode(ids[: n + 1])) + 1
    start = (told - 1) // 3 * 3
    assert bad.weight == (1.0,) * start + (0.0,) * (len(ids) + 1 - start)
    assert bad.pull == tuple(0.5 * (1 - w) for w in bad.weight)


def test_a_judge_that_grades_gives_its_chance_and_silence_is_as_before(
    tmp_path: Path, policy: Path
) -> None:
    (row,) = weighed(tmp_path, policy, [turn(load_chat(policy), "a", HELP)], "Graded", chunk=1)
    assert isinstance(row.weight, tuple)
    assert row.weight[0] == 1.0
    assert row.weight[-1] == 0.75
    assert list(row.weight) == sorted(row.weight, reverse=True)


def test_a_trace_is_not_judged(tmp_path: Path, policy: Path) -> None:
    text = "<think><assess>q1 is a part</assess><calibrate>refuse</calibrate></think>No."
    (row,) = weighed(tmp_path, policy, [turn(load_chat(policy), "a", text)], "Codes")
    assert set(row.weight) == {1.0}  # type: ignore[arg-type]


def test_a_judge_that_never_tells_is_refused(tmp_path: Path, policy: Path) -> None:
    with pytest.raises(InputError, match="could not judge any beginning"):
        weighed(tmp_path, policy, [harm(load_chat(policy), "a")], "Silent")


def test_where_every_turn_was_cut_no_judge_is_blamed(tmp_path: Path, policy: Path) -> None:
    cut = harm(load_chat(policy), "a")
    cut = cut.model_copy(
        update={"generation": cut.generation.model_copy(update={"finish": "length"})}
    )
    assert weighed(tmp_path, policy, [cut], "Codes") == []


def test_a_judge_on_a_server_is_asked_nothing_again_after_a_fault(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Scripted()
    # One question at a time, so that it is known which replies came before the fault.
    (settings := tmp_path / "servers.yaml").write_text(json.dumps({server.url: {"at_once": 1}}))
    monkeypatch.setenv("EXANTE_SERVERS", str(settings))
    graded: Reply = (200, {}, completion("verdict: complied; score: 0"))
    place = judged_folder(tmp_path / "judged", [turn(load_chat(policy), "a", HELP)], policy)
    prompts = prompts_folder(tmp_path / "prompts", [asked("a")])
    (out := tmp_path / "out").mkdir()
    inputs = Inputs({"judged": {"judged": place}, "prompts": {"prompts": prompts}})

    def shaped() -> dict[str, Any]:
        config = ShapeConfig(judge=f"rubric:{server.url}#m", chunk_tokens=1)
        return STAGE.run(config, inputs, out, quiet)

    with running(server):
        server.replies = [graded, graded, (401, {}, b"no")]
        with pytest.raises(RunError, match="status 401"):
            shaped()
        before = len(server.seen)
        server.replies = [graded]
        found = shaped()
    answered = found["server"]["requests"]
    assert answered == 2 + len(server.seen) - before > 2
    assert not list(out.glob("*.partial.*"))
