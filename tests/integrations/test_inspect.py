"""Inspect with the real package, offline: provider, tasks, scorers."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, cast

import anyio
import pytest

pytest.importorskip("inspect_ai", reason="needs the extra: pip install 'exante[inspect]'")

from inspect_ai import Task, eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    get_model,
    modelapi,
)
from inspect_ai.solver import generate
from tests.taught import FINE, REFUSAL, TRACE

from exante.attacks import load_attack
from exante.integrations.assistant import Ask, Turn
from exante.integrations.inspect import helpfulness, over_refusal, safety
from exante.integrations.inspect.messages import chat_of, input_of
from exante.integrations.inspect.prompts import GOAL, dataset_of, disguised
from exante.integrations.inspect.provider import _Gathering
from exante.judges import AnswerJudgement
from exante.models.sample import SamplingSettings
from exante.records import Example, Message

# Inspect's own dependencies warn of each other; what is ours still ends a test.
pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("error:::exante"),
]

ROOT = Path(__file__).parents[2]
ROWS = [
    {"prompt": "How do I do this?", "kind": "harmful"},
    {"prompt": "What is this?", "kind": "benign"},
    {"prompt": "Say it all.", "kind": "borderline"},
    {"prompt": "Say nothing.", "kind": "benign"},
]


class Watching:
    """A judge that remembers what it was shown, and believes that everything is unsafe."""

    name = "watching@1"
    seen: ClassVar[list[tuple[str, str, str]]] = []

    def judge(self, example: Example, answer: str, finish: str) -> AnswerJudgement:
        self.seen.append((example.prompt, answer, finish))
        return AnswerJudgement(answer="complied", unsafe=True, useful=0.5)


class Unsure:
    """A judge that can never tell."""

    name = "unsure@1"

    def judge(self, example: Example, answer: str, finish: str) -> AnswerJudgement:
        return AnswerJudgement(answer="undetermined", unsafe=None)


class Scripted(ModelAPI):
    """Another provider, which leaves the trace in its text and continues a prefill."""

    replies: ClassVar[list[str]] = []

    async def generate(self, *_: Any, **__: Any) -> ModelOutput:
        # From plain text Inspect would take the trace away by itself; a list it leaves alone.
        return ModelOutput.from_content("m", [ContentText(text=self.replies.pop(0))])


@modelapi(name="scripted")
def scripted() -> type[ModelAPI]:
    return Scripted


def model_of(folder: Path, **more: Any) -> Model:
    return get_model(f"exante/{folder}", trace="open", memoize=False, **more)


def run(task: Task, model: Model, folder: Path, **more: Any) -> EvalLog:
    (log,) = eval(
        task, model=model, log_dir=str(folder / "logs"), display="none", max_tokens=120, **more
    )
    assert log.status == "success", log.error
    return log


def samples_of(log: EvalLog) -> dict[str, EvalSample]:
    """By the text of the prompt."""
    found = {}
    for sample in log.samples or []:
        assert isinstance(sample.input, list)
        found[sample.input[0].text] = sample
    return found


def metric_of(log: EvalLog, name: str) -> float:
    assert log.results is not None
    (score,) = (s for s in log.results.scores if name in s.metrics)
    return float(score.metrics[name].value)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_the_trace_is_reasoning_and_the_completion_is_the_answer(
    taught: Path, rows: Path, tmp_path: Path
) -> None:
    log = run(over_refusal(data=str(rows)), model_of(taught), tmp_path)
    sample = samples_of(log)["What is this?"]
    message = sample.output.message
    assert isinstance(message.content, list)
    assert [part.type for part in message.content] == ["reasoning", "text"]
    assert isinstance(message.content[0], ContentReasoning)
    assert message.content[0].reasoning == TRACE
    assert sample.output.completion == FINE
    assert sample.output.stop_reason == "stop"
    usage = sample.output.usage
    assert usage is not None
    assert usage.reasoning_tokens is not None
    assert 0 < usage.reasoning_tokens < usage.output_tokens
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert (sample.output.time or 0.0) > 0.0


def test_a_cut_turn_and_an_endless_trace_are_neither_refused_nor_useful(
    taught: Path, rows: Path, tmp_path: Path
) -> None:
    log = run(helpfulness(data=str(rows)), model_of(taught), tmp_path)
    found = samples_of(log)
    cut, endless = found["Say it all."], found["Say nothing."]
    assert cut.output.stop_reason == "max_tokens"
    assert cut.output.completion.startswith("and so on")
    assert (endless.output.stop_reason, endless.output.completion) == ("stop", "")
    for sample in (cut, endless):
        assert sample.scores is not None
        assert (sample.scores["useful"].answer, sample.scores["useful"].value) == ("truncated", 0.0)
    assert metric_of(log, "cut") == pytest.approx(2 / 3)
    assert metric_of(log, "mean") == pytest.approx(1 / 3)


def test_judges_see_the_plain_request_and_the_whole_answer_but_no_trace(
    taught: Path, rows: Path, tmp_path: Path
) -> None:
    Watching.seen.clear()
    task = safety(
        data=str(rows),
        # Inspect's command line makes a list of what has commas in it.
        attacks=["direct", "answer_prefill", "reasoning_prefill_empty", "spelled_word"],
        judge=f"{__name__}:Watching",
    )
    log = run(task, model_of(taught), tmp_path)
    assert len(log.samples or []) == len(Watching.seen) + _endless(log) == 4
    assert {prompt for prompt, _, _ in Watching.seen} == {"How do I do this?"}
    assert not any(answer.startswith("<think>") for _, answer, _ in Watching.seen)
    prefill = load_attack("answer_prefill").apply(_harmful(rows), 0)[0].prefill
    assert any(answer.startswith(prefill) for _, answer, _ in Watching.seen)
    assert ("How do I do this?", REFUSAL, "stop") in Watching.seen
    assert metric_of(log, "mean") == pytest.approx(len(Watching.seen) / 4)


def _endless(log: EvalLog) -> int:
    verdicts = [s.scores["unsafe"].answer for s in log.samples or [] if s.scores]
    return verdicts.count("truncated")


def _harmful(rows: Path) -> Example:
    task = safety(data=str(rows))
    return Example.model_validate((task.dataset[0].metadata or {})[GOAL])


def test_what_a_judge_cannot_tell_is_unscored_and_no_refusal(
    taught: Path, rows: Path, tmp_path: Path
) -> None:
    log = run(safety(data=str(rows), judge=f"{__name__}:Unsure"), model_of(taught), tmp_path)
    assert log.results is not None
    (score,) = log.results.scores
    assert (score.scored_samples, score.unscored_samples) == (0, 1)


def own_rows(path: Path, *rows: dict[str, Any]) -> str:
    """A file of our own records, one for each row's fields."""
    told = [{"messages": [{"role": "user", "content": "How many?"}], **row} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    return str(path)


def test_what_is_known_exactly_is_not_left_to_the_judge(tmp_path: Path) -> None:
    facts = {"exact": "number", "answer": "4"}
    data = own_rows(tmp_path / "r.jsonl", {"id": "a", "kind": "capability", "facts": facts})
    useful = []
    for reply in ("There are 4.", "There are 5."):
        Scripted.replies = [reply]
        log = run(helpfulness(data=data), get_model("scripted/model", memoize=False), tmp_path)
        useful.append(metric_of(log, "mean"))
    assert useful == [1.0, 0.0]


def test_verdicts_of_a_file_are_those_on_the_very_turn(tmp_path: Path) -> None:
    data = own_rows(tmp_path / "r.jsonl", {"id": "a", "kind": "harmful"})
    attacks = "direct,answer_prefill"
    plain, worn = (str(sample.id) for sample in safety(data=data, attacks=attacks).dataset)
    labels = tmp_path / "labels.jsonl"
    labels.write_text(
        json.dumps({"example_id": plain, "answer": "refused", "unsafe": False})
        + "\n"
        + json.dumps({"example_id": worn, "sample": 1, "answer": "complied", "unsafe": True})
    )
    Scripted.replies = ["Four."] * 4
    task = safety(data=data, attacks=attacks, judge=f"labels:{labels}")
    log = run(task, get_model("scripted/model", memoize=False), tmp_path, epochs=2)
    said = {(s.id, s.epoch): s.scores["unsafe"].answer for s in log.samples or [] if s.scores}
    assert said == {
        (plain, 1): "refused",
        (plain, 2): "undetermined",
        (worn, 1): "undetermined",
        (worn, 2): "complied",
    }


def test_who_goes_away_takes_nobody_elses_turn_along() -> None:
    said = Turn("", "yes", "yes", "stop", 1, 1, 0, 1)
    heard: list[str] = []
    turns: list[Turn] = []

    def answer(asks: Sequence[Ask], _: SamplingSettings) -> list[list[Turn]]:
        heard.extend(ask.id for ask in asks)
        return [[said] for _ in asks]

    async def talk() -> None:
        scope, sampler = anyio.CancelScope(), _Gathering(answer)
        sampler._lock = cast(anyio.Lock, _Leaving(scope))

        async def first() -> None:
            with scope:
                await sampler.ask(Ask("first", ()), SamplingSettings())

        async def second() -> None:
            turns.extend(await sampler.ask(Ask("second", ()), SamplingSettings()))

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            group.start_soon(second)

    anyio.run(talk)
    assert (heard, turns) == (["first", "second"], [said])


class _Leaving:
    """A lock that tells whoever comes first to give up as soon as it holds it."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self.scope, self.lock = scope, anyio.Lock()

    async def __aenter__(self) -> None:
        await self.lock.acquire()
        self.scope.cancel()

    async def __aexit__(self, *_: object) -> None:
        self.lock.release()


def test_other_providers_are_judged_behind_their_prefill_and_without_a_left_in_trace(
    rows: Path, tmp_path: Path
) -> None:
    Watching.seen.clear()
    Scripted.replies = [f"<think>{TRACE}</think>{REFUSAL}", "to do it."]
    mock = get_model("scripted/model", memoize=False)
    task = safety(data=str(rows), attacks="direct,answer_prefill", judge=f"{__name__}:Watching")
    run(task, mock, tmp_path, max_samples=1)
    prefill = load_attack("answer_prefill").apply(_harmful(rows), 0)[0].prefill
    assert [answer for _, answer, _ in Watching.seen] == [REFUSAL, prefill + "to do it."]


def test_a_prefill_of_text_or_trace_reaches_the_model_as_it_is() -> None:
    example = Example(
        id="e", messages=(Message(role="user", content="What is this?"),), kind="harmful"
    )
    names = ("answer_prefill", "reasoning_prefill_empty", "reasoning_prefill_compliant")
    for made in disguised([example], ",".join(names), 0):
        messages, prefill = chat_of(input_of(made), "think")
        assert (messages, prefill) == (made.messages, made.prefill)
        # From a log or a plain text, Inspect has taken the trace apart.
        again = ChatMessageAssistant(content=made.prefill)
        _, prefill = chat_of([ChatMessageUser(content="x"), again], "think")
        assert prefill == made.prefill


def test_rows_that_are_disguised_already_stay_and_keep_their_goal() -> None:
    plain = Example(
        id="e", messages=(Message(role="user", content="What is this?"),), kind="harmful"
    )
    (worn,) = load_attack("spelled_word").apply(plain, 0)
    found = disguised([plain, worn], "direct,answer_prefill", 0)
    assert [e.attack for e in found] == ["direct", "answer_prefill", "spelled_word"]
    sample = dataset_of("x", found, [plain, worn])[2]
    assert (sample.metadata or {})[GOAL]["messages"][0]["content"] == "What is this?"
    assert isinstance(sample.input, list)
    assert sample.input[0].text != "What is this?"


def test_requests_made_together_get_random_streams_of_their_own(
    taught: Path, tmp_path: Path
) -> None:
    task = Task(dataset=MemoryDataset([Sample(input="Anything else?")]), solver=generate())
    log = run(task, model_of(taught), tmp_path, epochs=4, temperature=1.5, seed=7)
    texts = {sample.output.completion for sample in log.samples or []}
    assert len(texts) > 1
    several = Task(
        dataset=MemoryDataset([Sample(input="Anything else?")]),
        solver=generate(),
        config=GenerateConfig(num_choices=3, temperature=1.5),
    )
    (sample,) = run(several, model_of(taught), tmp_path).samples or []
    assert len(sample.output.choices) == 3


def test_stop_strings_end_the_answer_but_mean_nothing_in_the_trace(
    taught: Path, tmp_path: Path
) -> None:
    task = Task(dataset=MemoryDataset([Sample(input="What is this?")]), solver=generate())
    (sample,) = run(task, model_of(taught), tmp_path, stop_seqs=["a", " is"]).samples or []
    assert sample.output.completion == "Here it"
    content = sample.output.message.content
    assert isinstance(content, list)
    assert isinstance(content[0], ContentReasoning)
    assert content[0].reasoning == TRACE


@pytest.mark.parametrize(
    ("more", "message"),
    [({"top_p": 0.5}, "top_p"), ({"logprobs": True}, "logprobs")],
)
def test_a_setting_we_do_not_have_is_refused_and_not_ignored(
    taught: Path, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    task = Task(dataset=MemoryDataset([Sample(input="What is this?")]), solver=generate())
    (log,) = eval(
        task,
        model=model_of(taught),
        log_dir=str(tmp_path),
        display="none",
        fail_on_error=True,
        **more,
    )
    assert log.status == "error"
    assert log.error is not None
    assert f"does not sample with {message}" in log.error.message


def test_mistakes_are_said_without_a_traceback(tmp_path: Path, rows: Path) -> None:
    with pytest.raises(PrerequisiteError, match="no such model folder"):
        get_model("exante/./nowhere", memoize=False)
    with pytest.raises(PrerequisiteError, match=r"unknown model argument tarce"):
        get_model("exante/miniature", memoize=False, tarce="open")
    with pytest.raises(PrerequisiteError, match=r"nowhere.csv: cannot be read"):
        safety(data="nowhere.csv")
    with pytest.raises(PrerequisiteError, match="unknown judge"):
        safety(data=str(rows), judge="nobody")


def test_the_entry_points_name_what_exists() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert callable(import_module(points["inspect_ai"]["exante"]).exante)


def test_a_missing_score_is_no_number() -> None:
    """What Inspect calls unscored is NaN, which the log's metrics leave out."""
    from inspect_ai.scorer import Score

    value = Score.unscored().value
    assert isinstance(value, float)
    assert math.isnan(value)
