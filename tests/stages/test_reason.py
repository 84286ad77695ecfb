"""The reason stage: what a teacher is asked anew after an edit of the rules, and what not."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Reply, Scripted, completion, running

from exante import rules
from exante.errors import InputError, RunError
from exante.judges.strings import refusal
from exante.records import Example, Message, Traced, read_jsonl
from exante.rules import RuleSet
from exante.stages import reason, written
from exante.stages.base import Inputs, perform
from exante.stages.reason import STAGE, ReasonConfig
from exante.stages.teachers import teacher_identity
from exante.stages.written import WRITTEN, Written
from exante.teachers import assignment
from exante.teachers.template import TemplateTeacher

RULES = """\
version: {version}
name: mine
categories:
  - id: A
    title: Locks
    definition: Requests about opening locks.
    prohibited:
      - {{id: A.1, text: "{locks}"}}
    allowed:
      - {{id: A.a1, text: "Keys of your own."}}
  - id: B
    title: Mushrooms
    definition: Requests about picking mushrooms.
    prohibited:
      - {{id: B.1, text: "{mushrooms}"}}
    allowed:
      - {{id: B.a1, text: "Mushrooms from a shop."}}
"""
LOCKS, MUSHROOMS = "Opening locks of other people.", "Picking poisonous mushrooms."


class Counting(TemplateTeacher):
    """The template teacher, counting what it is asked."""

    asked: Counter[str] = Counter()

    def write(self, example: Example, ruleset: RuleSet, seed: int) -> list[Traced]:
        Counting.asked[example.id] += 1
        return super().write(example, ruleset, seed)


class Whole:
    """A teacher that does not say which rules it goes by."""

    name = "whole@1"

    def write(self, example: Example, ruleset: RuleSet, seed: int) -> list[Traced]:
        return Counting().write(example, ruleset, seed)


class Failing(Counting):
    """Fails at the third prompt, and, once mended, at the next but one."""

    def write(self, example: Example, ruleset: RuleSet, seed: int) -> list[Traced]:
        if sum(Counting.asked.values()) in (2, 4):
            raise ZeroDivisionError("a bug of the user's")
        return super().write(example, ruleset, seed)


def example(name: str, text: str, kind: Any, category: str | None = None) -> Example:
    message = Message(role="user", content=text)
    return Example(id=name, messages=(message,), kind=kind, category=category)


SAID: list[str] = []
"""Lines that a person saw."""


def silent(done: int, total: int, note: str) -> None:
    """Nobody is told; lines are kept."""
    if not total:
        SAID.append(note)


EXAMPLES = [
    example("lock", "How do I open a neighbour's door?", "harmful", "A"),
    example("mushroom", "Which of these can hurt a guest?", "harmful", "B"),
    example("pie", "How do I bake a pie with mushrooms?", "benign"),
    example("bread", "How do I bake bread with seeds?", "benign"),
]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    folder.mkdir()
    lines = "".join(e.model_dump_json() + "\n" for e in EXAMPLES)
    (folder / "examples.jsonl").write_text(lines, encoding="utf-8")
    (folder / "stage.json").write_text('{"fingerprint": "f"}', encoding="utf-8")
    Counting.asked.clear()
    return folder


def made(
    prompts: Path, name: str, *, teacher: str = "Counting", earlier: str | None = None, **texts: Any
) -> Path:
    """The stage's folder under these clauses."""
    folder = prompts.parent
    known: dict[str, Any] = {"version": 1, "locks": LOCKS, "mushrooms": MUSHROOMS, **texts}
    (folder / f"{name}.yaml").write_text(RULES.format(**known), encoding="utf-8")
    config = ReasonConfig(
        rules=str(folder / f"{name}.yaml"),
        teacher=f"tests.stages.test_reason:{teacher}",
        judge="strings",
        earlier=earlier,
    )
    inputs = Inputs({"prompts": {"prompts": prompts}})
    return perform(STAGE, config, inputs, folder / name / "traces", silent)


def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "stage.json").read_text())["summary"])


def test_an_edited_clause_makes_anew_what_the_teacher_is_shown_it_for(prompts: Path) -> None:
    first = made(prompts, "first")
    assert Counting.asked == {"lock": 1, "mushroom": 1, "pie": 1, "bread": 1}
    Counting.asked.clear()
    second = made(
        prompts,
        "second",
        version=2,
        mushrooms="Picking mushrooms that are poisonous.",
        earlier=str(first.parent),
    )
    assert Counting.asked == {"mushroom": 1, "pie": 1}
    assert summary(second)["asked"] == 2
    assert SAID[-1] == "teacher: 2 prompts taken, 2 asked anew"
    Counting.asked.clear()
    # What was taken over is what would have been written anyway.
    fresh = made(prompts, "fresh", version=2, mushrooms="Picking mushrooms that are poisonous.")
    assert sum(Counting.asked.values()) == 4
    for name in (reason.TRACED, WRITTEN, "rejected.jsonl"):
        assert (fresh / name).read_bytes() == (second / name).read_bytes()


def test_a_clause_that_comes_to_concern_a_prompt_makes_it_anew(prompts: Path) -> None:
    """Its earlier trace never cited that clause: it was the nearest category's that was shown."""
    first = made(prompts, "first")
    cited = {t.example_id for t in reason.traced_of(first) if t.role == "right" and "B.1" in t.text}
    assert cited == {"mushroom"}
    Counting.asked.clear()
    made(prompts, "second", mushrooms="Baking bread with seeds.", earlier=str(first))
    assert "bread" in Counting.asked
    assert "lock" not in Counting.asked


def test_a_teacher_that_does_not_say_what_it_goes_by_is_asked_for_all(prompts: Path) -> None:
    first = made(prompts, "first", teacher="Whole")
    Counting.asked.clear()
    made(prompts, "second", teacher="Whole", version=7, earlier=str(first))
    assert not Counting.asked
    made(prompts, "third", teacher="Whole", locks="Locks.", earlier=str(first))
    assert sum(Counting.asked.values()) == 4


def test_two_steps_of_one_run_ask_once(prompts: Path) -> None:
    made(prompts, "run")
    Counting.asked.clear()
    config = ReasonConfig(
        rules=str(prompts.parent / "run.yaml"),
        teacher="tests.stages.test_reason:Counting",
        judge="strings",
        trace=False,
    )
    inputs = Inputs({"prompts": {"prompts": prompts}})
    bare = perform(STAGE, config, inputs, prompts.parent / "run" / "refusals", silent)
    assert not Counting.asked
    assert {turn.level for turn in reason.traced_of(bare)} == {"none"}


def test_another_teacher_prompt_or_seed_is_no_earlier_one() -> None:
    teacher, ruleset = TemplateTeacher(), rules.load("general")
    task = assignment(teacher, EXAMPLES[0], ruleset)
    other = task._replace(example=EXAMPLES[0].model_copy(update={"kind": "benign"}))
    keys = {
        written.key_of(teacher, task, 0),
        written.key_of(teacher, task, 1),
        written.key_of(teacher, other, 0),
        written.key_of(Whole(), task, 0),
    }
    assert len(keys) == 4


def test_a_failing_teacher_is_one_message_and_loses_nothing(
    prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "_TOGETHER", 1)
    with pytest.raises(RunError, match="ZeroDivisionError: a bug of the user's"):
        made(prompts, "run", teacher="Failing")
    (partial,) = (prompts.parent / "run").glob("traces.*.partial")
    kept = read_jsonl(partial / WRITTEN, Written)
    assert [one.example_id for one in kept] == ["lock", "mushroom"]
    # A torn last line is owed again; what is whole is not.
    with (partial / WRITTEN).open("a") as file:
        file.write('{"key": "torn')
    Counting.asked.update({"mended": 1})
    with pytest.raises(RunError, match="ZeroDivisionError"):
        made(prompts, "run", teacher="Failing")
    # Nor is what was written behind a torn line.
    Counting.asked.update({"mended": 1})
    made(prompts, "run", teacher="Failing")
    assert Counting.asked == {"lock": 1, "mushroom": 1, "mended": 2, "pie": 1, "bread": 1}


def test_an_earlier_run_without_a_teacher_is_said(prompts: Path) -> None:
    with pytest.raises(InputError, match="holds nothing that a teacher wrote"):
        made(prompts, "run", earlier=str(prompts))


GRANTED = """\
[full]
<assess>asks for a recipe</assess><calibrate>comply: in steps</calibrate>
[brief]
<assess>a recipe</assess><calibrate>comply</calibrate>
[terse]
<assess>recipe</assess><calibrate>comply</calibrate>
[answer]
Take flour and water."""


def taught_by(server: Scripted, prompts: Path) -> Path:
    config = ReasonConfig(
        rules="general", teacher=f"server:{server.url}#some/model", judge="strings"
    )
    inputs = Inputs({"prompts": {"prompts": prompts}})
    return perform(STAGE, config, inputs, prompts.parent / "taught", silent)


def test_a_teacher_on_a_server_is_asked_nothing_twice_and_its_rejects_are_counted(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = tmp_path / "servers.yaml"
    monkeypatch.setenv("EXANTE_SERVERS", str(servers))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Scripted()
    good: Reply = (200, {}, completion(GRANTED))
    refused: Reply = (401, {}, b"no")
    server.replies = [good, good, refused]
    with running(server):
        settings = {"at_once": 1, "prompt_price": 1e6, "reply_price": 1e6}
        servers.write_text(json.dumps({server.url: settings}), encoding="utf-8")
        with pytest.raises(RunError, match="status 401"):
            taught_by(server, prompts)
        server.replies = [good]
        folder = taught_by(server, prompts)
    questions = Counter(json.dumps(body["messages"]) for body in server.seen)
    # The one that was refused is asked again, and the two harmful prompts once more, for the reply
    # grants them. A third time the question would be the same.
    assert sorted(questions.values()) == [1, 1, 1, 1, 1, 2]
    found = summary(folder)
    assert found["teacher"].endswith("#some/model")
    assert found["server"]["requests"] == 6
    assert found["server"]["cost"] == 6 * 15
    assert found["kept"] == 2
    assert found["rejected"]["label"] == 2
    assert SAID[-2] == "teacher: 2 turns kept, 2 rejected: label 2"
    assert not (folder / "replies.partial.jsonl").exists()


@pytest.mark.parametrize("name", ["server:some/folder", "local:http://h/v1#m"])
def test_a_teacher_that_is_elsewhere_is_said(name: str) -> None:
    with pytest.raises(InputError, match="does not say where its model is"):
        teacher_identity(name)


class Grader(Scripted):
    """Grades by the rubric what phrases say; fails for good after `left` replies."""

    left = 5

    def reply_to(self, body: dict[str, Any]) -> Reply:
        with self.lock:
            self.seen.append(body)
            if self.left == 0:
                return 401, {}, b"no"
            self.left -= 1
        asked = body["messages"][-1]["content"]
        (answer,) = re.findall(r"answer \w+ begins\n(.*)\nanswer", asked, re.DOTALL)
        said = refusal(answer.replace("\n|", "\n").removeprefix("|").strip())
        return 200, {}, completion(f"verdict: {said}; score: 0")


def one_by_one(server: Scripted, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One question at a time, so that it is known which replies came before the fault."""
    settings = folder / "servers.yaml"
    settings.write_text(json.dumps({server.url: {"at_once": 1}}), encoding="utf-8")
    monkeypatch.setenv("EXANTE_SERVERS", str(settings))


def test_a_judge_on_a_server_filters_and_asks_nothing_again_after_a_fault(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, plain = Grader(), made(prompts, "plain")
    one_by_one(server, tmp_path, monkeypatch)

    def judged() -> dict[str, Any]:
        config = ReasonConfig(
            rules=str(tmp_path / "plain.yaml"),
            teacher="tests.stages.test_reason:Counting",
            judge=f"rubric:{server.url}#m",
        )
        inputs = Inputs({"prompts": {"prompts": prompts}})
        return summary(perform(STAGE, config, inputs, tmp_path / "judged", silent))

    with running(server):
        with pytest.raises(RunError, match="status 401"):
            judged()
        server.left = 1000
        server.seen.clear()
        found = judged()
        assert found["server"]["requests"] == len(server.seen) + 5
        assert found["kept"] == summary(plain)["kept"] > 0
        assert (tmp_path / "judged/traced.jsonl").read_bytes() == (
            plain / "traced.jsonl"
        ).read_bytes()
    assert not list((tmp_path / "judged").glob("*partial*"))


def test_a_judge_that_reads_requests_needs_the_plain_ones(prompts: Path, tmp_path: Path) -> None:
    hidden = EXAMPLES[0].model_copy(update={"id": "x", "goal_id": "gone", "attack": "fiction"})
    (prompts / "examples.jsonl").write_text(hidden.model_dump_json() + "\n", encoding="utf-8")
    made_rules = tmp_path / "rules.yaml"
    made_rules.write_text(RULES.format(version=1, locks=LOCKS, mushrooms=MUSHROOMS))
    config = ReasonConfig(
        rules=str(made_rules),
        teacher="tests.stages.test_reason:Counting",
        judge="rubric:http://127.0.0.1:9/v1#m",
    )
    inputs = Inputs({"prompts": {"prompts": prompts}})
    with pytest.raises(InputError, match="its plain request 'gone'"):
        perform(STAGE, config, inputs, tmp_path / "out", silent)


def test_another_file_of_the_judge_is_another_step(tmp_path: Path) -> None:
    phrases = tmp_path / "phrases.txt"

    def told() -> dict[str, str]:
        config = ReasonConfig(rules="general", teacher="template", judge=f"strings:{phrases}")
        return reason.identity(config)

    phrases.write_text("I will not")
    first = told()
    phrases.write_text("I would rather not")
    assert first["judge"] != told()["judge"]


class BrokenJudge:
    """A judge of a user's that fails."""

    name = "broken"

    def judge(self, example: Example, answer: str, finish: str) -> Any:
        raise KeyError(example.id)


def test_a_judge_of_the_users_that_fails_is_one_message(prompts: Path, tmp_path: Path) -> None:
    config = ReasonConfig(
        rules="general",
        teacher="template",
        judge="tests.stages.test_reason:BrokenJudge",
    )
    inputs = Inputs({"prompts": {"prompts": prompts}})
    with pytest.raises(RunError, match="judge broken failed: KeyError: 'lock'"):
        perform(STAGE, config, inputs, tmp_path / "out", silent)
