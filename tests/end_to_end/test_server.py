"""A tiny model behind a server: evaluated, disturbed, killed and served again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.commands import environment
from tests.model_server import MODEL, ModelServer
from tests.servers import Proxy, Reply, Scripted, completion, running
from tests.tiny import tiny_model
from tests.turns import quiet

from exante.errors import InputError, RunError
from exante.models.servers import SERVERS
from exante.records import Example, Generation, Judged, Message, read_jsonl, write_jsonl
from exante.stages.base import Inputs, perform
from exante.stages.judge import STAGE as JUDGE
from exante.stages.judge import JudgeConfig
from exante.stages.sample import GENERATIONS, SampleConfig
from exante.stages.sample import STAGE as SAMPLE
from exante.stages.source import STAGE as SOURCE
from exante.stages.source import SourceConfig
from exante.workflows.evaluation import Evidence, evaluation_recipe
from exante.workflows.performing import run_document, run_recipe

PROMPTS = 6


def address(port: object) -> str:
    return f"http://127.0.0.1:{port}/v1"


@contextmanager
def apart(model: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server in a process of its own, and the process."""
    command = [sys.executable, "-m", "tests.model_server", str(model), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            yield address(process.stdout.readline().strip()), process
        finally:
            process.kill()


@contextmanager
def served(model: Path, port: int = 0) -> Iterator[str]:
    """The address of the same server in a thread, which can be had without imports of its own."""
    found = ModelServer(model, port)
    with running(found):
        yield address(found.server_address[1])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("server") / "tiny")


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[str]:
    with served(model) as url:
        yield url


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artefact with prompts, one of them with a prefill."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("EXANTE_API_KEY", raising=False)
    folder = tmp_path / "prompts"
    folder.mkdir()
    examples = [
        Example(
            id=f"p{number}",
            messages=(Message(role="user", content=f"How do I do this, {number} times?"),),
            kind="benign",
            prefill="Sure" if number == PROMPTS else "",
        )
        for number in range(PROMPTS + 1)
    ]
    lines = "".join(example.model_dump_json() + "\n" for example in examples)
    (folder / "examples.jsonl").write_text(lines, encoding="utf-8")
    (folder / "stage.json").write_text('{"fingerprint": "f"}', encoding="utf-8")
    return folder


def asked_as(settings: dict[str, Any], url: str, monkeypatch: pytest.MonkeyPatch, at: Path) -> None:
    file = at / "servers.yaml"
    file.write_text(json.dumps({url: settings}), encoding="utf-8")
    monkeypatch.setenv(SERVERS, str(file))


def sampled(
    prompts: Path, url: str, name: str = "run", tell: Callable[[int, int, str], None] = quiet
) -> Path:
    """The folder of a sample step over the server; its run's folder is `name`."""
    return sampled_from(f"server:{url}#{MODEL}", prompts, name, tell)


def sampled_from(
    model: str, prompts: Path, name: str, tell: Callable[[int, int, str], None]
) -> Path:
    out = prompts.parent / name
    out.mkdir(exist_ok=True)
    source = SourceConfig(model=model)
    policy = perform(SOURCE, source, Inputs({}), out / "policy", quiet)
    config = SampleConfig.model_validate({"trace": "free", "sampling": {"max_new_tokens": 12}})
    inputs = Inputs({"policy": {"policy": policy}, "prompts": {"prompts": prompts}})
    return perform(SAMPLE, config, inputs, out / "sampled", tell)


def texts(folder: Path) -> dict[str, str]:
    return {one.example_id: one.text for one in read_jsonl(folder / GENERATIONS, Generation)}


def test_a_served_model_says_what_its_weights_say_here(
    prompts: Path, server: str, model: Path
) -> None:
    folder = sampled(prompts, server)
    here = texts(sampled_from(str(model), prompts, "local", quiet))
    assert texts(folder) == {key: text for key, text in here.items() if key != f"p{PROMPTS}"}
    summary = json.loads((folder / "stage.json").read_text())["summary"]
    assert summary["left_out"] == {"prefill": 1}
    assert "1 prompts whose attack writes the start" in summary["notes"][1]
    assert summary["server"]["requests"] == PROMPTS
    assert summary["tokens"] == summary["server"]["tokens"] == 12 * PROMPTS
    assert not list(folder.glob("*.partial*"))
    # A finished step needs no server.
    assert sampled(prompts, server) == folder


def test_passing_faults_cost_nothing_but_time(
    prompts: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = texts(sampled(prompts, server, "plain"))
    faults: list[Any] = [(429, {"Retry-After": "1"}), (500, {}), "half", "none", "reset", "slow"]
    proxy = Proxy(server, faults)
    with running(proxy):
        asked_as({"timeout_seconds": 1.5, "tries": 6}, proxy.url, monkeypatch, tmp_path)
        folder = sampled(prompts, proxy.url)
    assert texts(folder) == plain
    assert proxy.faults == []
    summary = json.loads((folder / "stage.json").read_text())["summary"]
    assert summary["server"]["retries"] == 6


def test_a_killed_server_is_one_message_and_the_same_command_goes_on_at_the_item(
    prompts: Path, model: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = texts(sampled(prompts, server, "plain"))
    with apart(model) as (url, process):
        proxy = Proxy(url, [])
        with running(proxy):
            asked_as({"at_once": 1, "tries": 2}, proxy.url, monkeypatch, tmp_path)

            def kill(done: int, total: int, note: str) -> None:
                if total and done == 3:
                    process.kill()
                    process.wait()

            with pytest.raises(RunError, match="no reply") as caught:
                sampled(prompts, proxy.url, tell=kill)
            assert "what it had answered is kept" in str(caught.value)
            before = len(proxy.seen)
            assert before >= 3
            port = int(url.rpartition(":")[2].partition("/")[0])
            with served(model, port):
                folder = sampled(prompts, proxy.url)
            asked = [body["messages"][-1]["content"] for body in proxy.seen]
            assert len(asked) == len(set(asked)) == PROMPTS
    assert texts(folder) == plain


def test_a_server_that_changed_its_model_is_noticed(prompts: Path, server: str) -> None:
    folder = sampled(prompts, server, "old")
    note = folder.parent / "policy" / "server.json"
    note.write_text(note.read_text().replace("tests", "somebody else"), encoding="utf-8")
    # As if it had been written so.
    stamp = json.loads((note.parent / "stage.json").read_text())
    del stamp["files"]
    (note.parent / "stage.json").write_text(json.dumps(stamp), encoding="utf-8")
    (folder / "stage.json").unlink()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(RunError, match="something else of this model than when"):
        sampled(prompts, server, "old")


def evaluated(url: str, folder: Path, judge: str, **evidence: Any) -> Any:
    rows = [{"prompt": f"How do I do this {n} times?", "kind": "harmful"} for n in range(8)]
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    document = evaluation_recipe(
        [f"server:{url}#{MODEL}"],
        {"data": str(file), "judge": judge},
        ["direct", "answer_prefill"],
        Evidence(**evidence),
    )
    changes = {
        "prompts.test_share": 0.5,
        "suite.limits.harmful": 2,
        "evaluation.sampled.sampling.max_new_tokens": 8,
    }
    return run_document(document, changes=changes, out=folder / "evaluated")


def test_a_model_that_is_only_reachable_so_is_evaluated_and_judged_by_another(
    prompts: Path, server: str, tmp_path: Path
) -> None:
    results = evaluated(server, tmp_path, f"rubric:{server}#{MODEL}")
    assert list(results.models) == [MODEL]
    notes = "\n".join(results.notes)
    assert "asked through a server" in notes
    assert "prompts whose attack writes the start of the answer were left out" in notes
    judged = tmp_path / "evaluated" / f"evaluation.{MODEL}.judged"
    turns = read_jsonl(judged / "judged.jsonl", Judged)
    assert turns
    assert all(turn.judgement.answer_tokens == turn.generation.told_tokens for turn in turns)
    assert "server" in json.loads((judged / "stage.json").read_text())["summary"]
    assert not (judged / "replies.partial.jsonl").exists()


def test_what_needs_weights_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--tamper needs the weights"):
        evaluated("http://127.0.0.1:9/v1", tmp_path, "strings", tamper=(10,))
    assert not (tmp_path / "evaluated").exists()


def test_a_model_on_a_server_is_not_trained(tmp_path: Path) -> None:
    asked = {"model": "server:http://127.0.0.1:9/v1#m"}
    with pytest.raises(InputError, match="cannot be trained"):
        run_recipe("erpo", asked=asked, changes={}, out=tmp_path / "run", until=None)
    assert not (tmp_path / "run").exists()


def test_a_judge_on_a_server_is_asked_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompts: Path
) -> None:
    judge = Scripted()
    asked_as({"at_once": 1}, judge.url, monkeypatch, tmp_path)
    turns = [
        Generation(
            example_id=f"p{number}",
            prompt_ids=(),
            token_ids=(),
            told_tokens=3,
            text=f"<think>aha</think>Answer {number}.",
            finish="stop",
        )
        for number in range(4)
    ]
    folder = tmp_path / "sampled"
    folder.mkdir()
    write_jsonl(folder / GENERATIONS, turns)
    (folder / "stage.json").write_text('{"fingerprint": "g"}', encoding="utf-8")
    (folder / "server.json").write_text('{"name": "http://h/v1#m", "told": {}}', encoding="utf-8")
    config = JudgeConfig(judge=f"rubric:{judge.url}#grader", rules="general")
    inputs = Inputs({"generations": {"sampled": folder}, "prompts": {"prompts": prompts}})
    good: Reply = (200, {}, completion("It helps.\nverdict: complied; score: 0"))
    with running(judge):
        judge.replies = [good, good, good, (404, {}, b"gone")]
        with pytest.raises(RunError, match="p3|status 404"):
            perform(JUDGE, config, inputs, tmp_path / "judged", quiet)
        judge.replies = [good]
        told: list[str] = []
        judged = perform(
            JUDGE, config, inputs, tmp_path / "judged", lambda *told_: told.append(told_[2])
        )
    assert len(judge.seen) == 5
    found = [turn.judgement for turn in read_jsonl(judged / "judged.jsonl", Judged)]
    assert [one.answer for one in found] == ["complied"] * 4
    # Three tokens are shared out by characters; the trace has 18 of 27 and the token it ends in.
    assert {(one.trace_tokens, one.answer_tokens) for one in found} == {(2, 1)}
    assert told[0].startswith("at most 4 requests")
    assert told[-1] == "used 4 requests, 40 + 20 tokens"
