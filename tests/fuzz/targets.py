"""What is fuzzed: every parser of what others write, with what must hold for any bytes.

A target takes bytes and returns. It may meet the errors that are meant for a person, and asserts
what else holds: a round trip, pieces that join to the whole. Whatever else is raised is a find.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.data_rows import ROWS, lines

from exante import documents, drafts, recipes, rules, traces
from exante.errors import ExanteError
from exante.formats import FORMATS, Reading, read_row, recognised
from exante.formats.write import written
from exante.judges.formats import parse_llama_guard, parse_wildguard, parse_yes_no
from exante.judges.rubric import verdict_of
from exante.models.replies import FaultError, models_in, said_in
from exante.models.servers import ServerSettings, _Servers
from exante.pages.results import read_results
from exante.recipes.inherit import extended
from exante.recipes.plan import build
from exante.records import Example, Message, parse_line, read_jsonl
from exante.rows import Fault, sift_rows
from exante.rules import RuleSet
from exante.serving.closing import closings
from exante.serving.protocol import ApiError, parse_request
from exante.serving.splitting import Splitter
from exante.stages.mix import Mix
from exante.suites.readers import READERS
from exante.teachers import Assignment
from exante.teachers.policies import draft_by
from exante.teachers.speaking import SpeakingTeacher

_SCRATCH = Path(tempfile.mkdtemp(prefix="exante-fuzz-"))
_RULES = """\
version: 1
name: small
categories:
  - id: A
    title: First
    definition: the first risk
    prohibited: [{id: A.1, text: not this}]
    allowed: [{id: A.a1, text: but that}]
    style: {refuse: kindly}
general:
  - {id: G.1, text: always}
"""
_TRACE = (
    "<think><assess>asks for it [A]</assess><verify>A.1 violated: it; A.a1 not-met</verify>"
    "<calibrate>refuse: kindly</calibrate></think>I cannot help with that."
)
_RULESET = rules.parse(_RULES, where="small")
_EXAMPLE = Example(
    id="e", messages=(Message(role="user", content="How?"),), kind="harmful", category="A"
)


@dataclass(frozen=True, slots=True)
class Target:
    """One parser."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    """Inputs that are sound, from which others are made."""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "ignore")


def _file(data: bytes, name: str) -> Path:
    path = _SCRATCH / name
    path.write_bytes(data)
    return path


def fuzz_rules(data: bytes) -> None:
    """A rule set that is read can be written and read again, and is then the same."""
    with suppress(ExanteError):
        ruleset = documents.read(_file(data, "rules.yaml"), RuleSet, fix="mend it")
        rules.render(ruleset)
        text = yaml.safe_dump(ruleset.model_dump(mode="json"), allow_unicode=True)
        assert rules.parse(text, where="again").hash == ruleset.hash


def fuzz_settings(data: bytes) -> None:
    """Mixes and files of servers are mappings of the same kind."""
    for model in (Mix, _Servers, ServerSettings):
        with suppress(ExanteError):
            documents.parse(_text(data), model, where="file.yaml", fix="mend it")


def fuzz_recipe(data: bytes) -> None:
    """A recipe is refused, or is a plan of steps, with what it extends and with a change."""
    with suppress(ExanteError):
        document = documents.values(_text(data), where="mine.yaml")
        whole = extended(document, "mine.yaml", recipes._extendable)
        if isinstance(whole, dict) and isinstance(whole.get("steps"), dict):
            with suppress(ExanteError):
                recipes.changed(whole, {"tuned.loss.beta": 1, "seed": 2}, "mine.yaml")
        build(whole, "mine.yaml")


def fuzz_rows(data: bytes) -> None:
    """Rows of any ending; each is one of ours in the end, and can be written in all targets."""
    kind, data = (data[0] % 5 if data else 0), data[1:]
    path = _file(data, ("t.jsonl", "t.json", "t.csv", "t.tsv", "t.csv.gz")[kind])
    examples: list[Example] = []
    with suppress(ExanteError):
        for number, (line, row) in enumerate(sift_rows(path)):
            if not isinstance(row, Fault):
                examples += _examples(row, line, number)
    for target in ("examples", "trl", "pku"):
        found = written(examples, target, "better")
        json.dumps(found.rows, ensure_ascii=False).encode()


def _examples(row: dict[str, Any], line: int, number: int) -> list[Example]:
    """What all formats and suites make of a row."""
    found: list[Example] = []
    form = recognised(row)
    for one in {form.name: form} if form else FORMATS:
        with suppress(ExanteError):
            known = FORMATS[one]
            example = read_row(known, Path("t"), line, number, row, Reading()).example
            assert parse_line(example.model_dump_json(), Example, where="again") is not None
            found.append(example)
    for name, read in READERS.items():
        with suppress(ExanteError):
            read(row, next(iter(row), "prompt"), f"{name}:{line}")
    return found


def fuzz_records(data: bytes) -> None:
    """Our own lines: what is read can be written and read again."""
    path = _file(data, "records.jsonl")
    with suppress(ExanteError):
        found = read_jsonl(path, Example)
        text = "\n".join(one.model_dump_json() for one in found)
        assert read_jsonl(_file(text.encode(), "again.jsonl"), Example) == found


def fuzz_traces(data: bytes) -> None:
    """Any text is a turn; a trace that was read is rendered and read as its own normal form."""
    text = _text(data)
    found = traces.parse(text, clauses={"A.1", "A.a1"})
    if found.trace is not None:
        again = traces.parse(traces.render(found.trace)).trace
        assert again == traces.normalise(found.trace)
    assert traces.escape(traces.escape(text)) == traces.escape(text)
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    assert sum(traces.section_token_counts(pieces)) == len(pieces)
    traces.section_ends(pieces)
    _split(text, pieces, found)
    for way in closings(text):
        assert traces.parse(f"<think>{text}{way}").present


def _split(text: str, pieces: Sequence[str], found: traces.Parsed) -> None:
    """A stream of pieces tells what the whole says."""
    splitter = Splitter()
    told = [*(splitter.feed(piece) for piece in pieces), splitter.end()]
    assert "".join(one.reasoning for one in told) == found.trace_text
    assert "".join(one.content for one in told) == (found.answer or "")


class _Speaker:
    name = "fuzz"

    def __init__(self, text: str) -> None:
        self.text = text

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        return [self.text] * len(conversations)


def fuzz_answers(data: bytes) -> None:
    """Whatever a judge, guard, teacher or drafting model says is a verdict, a turn, or nothing."""
    text = _text(data)
    for read in (verdict_of, parse_llama_guard, parse_wildguard, parse_yes_no):
        read(text)
    assignment = Assignment(_EXAMPLE, _RULESET)
    written_turns = SpeakingTeacher(_Speaker(text)).write_many([assignment], 0)
    assert len(written_turns) == 1
    for turn in written_turns[0]:
        assert traces.parse(turn.text).present
    draft_by(_Speaker(text), "Users must not pick locks.")


def fuzz_drafts(data: bytes) -> None:
    """The draft of any document is a rule set, if it has a clause."""
    draft = drafts.mechanical(_text(data))
    if draft.topics:
        rules.parse(drafts.written(draft, name="n", source="s", how="h"), where="draft")


def fuzz_replies(data: bytes) -> None:
    """A server's reply is a turn, a list of models, or a fault."""
    for read in (said_in, models_in):
        with suppress(FaultError):
            read(data)


def fuzz_requests(data: bytes) -> None:
    """A body is a request or an error in OpenAI's form; what the model reads has no trace tags."""
    with suppress(ApiError, ValueError, RecursionError):
        document = json.loads(data)
        json.dumps(document, ensure_ascii=False).encode()
        request = parse_request(document)
        assert all("<think>" not in message.content for message in request.chat("think"))


def fuzz_results(data: bytes) -> None:
    """A `results.json` is read or refused."""
    with suppress(ExanteError):
        read_results(_file(data, "results.json"))


_RECIPE = b"""\
extends: measured
name: mine
settings: {rate: 1.0e-4}
steps:
  tuned: {stage: sft, policy: base, prompts: prompts, traces: traces, train: {learning_rate: $rate}}
  again: {repeat: 2, carry: {now: [tuned, round]}, steps: {round: {stage: sft, policy: now}}}
outcome: {of: tuned, trace: open}
"""
_SETTINGS = (
    b"portions:\n  - {data: a.jsonl, kind: harmful, limit: 3}\n  - {data: b.csv, split: test}\n",
    b"http://127.0.0.1:1/v1: {at_once: 2, tries: 3, prompt_price: 0.5}\n",
)
_BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "<think>a"}]}],
    "stop": ["a"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 5,
    "temperature": 0.5,
}
_REPLY = {
    "choices": [{"message": {"content": "Yes.", "reasoning": "r"}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    "data": [{"id": "m"}],
}
_ANSWERS = (
    b"It helps.\nverdict: complied; score: 4",
    b"unsafe\nS1,S9",
    b"Harmful request: yes\nResponse refusal: no\nHarmful response: N/A",
    f"[full]\n{_TRACE}\n[brief]\n{_TRACE}\n[terse]\n{_TRACE}\n[answer]\nNo.".encode(),
    b'{"categories": [{"title": "T", "definition": "d", "prohibited": [{"text": "t", "quote":'
    b' "Users must not pick locks."}], "allowed": []}]}',
)
_CSV = b'\x02prompt,kind,label\nHow?,harmful,true\n"a, b",benign,0\n'

TARGETS: tuple[Target, ...] = (
    Target("rules", fuzz_rules, (_RULES.encode(), b"a: &x [1]\nb: *x\n")),
    Target("settings", fuzz_settings, _SETTINGS),
    Target("recipe", fuzz_recipe, (_RECIPE, b"steps: {base: {stage: source, model: m}}\n")),
    Target(
        "rows",
        fuzz_rows,
        (_CSV, *(b"\x00" + lines([row]).encode() for row in ROWS.values()), b'\x01[{"prompt": 1}]'),
    ),
    Target("records", fuzz_records, (_EXAMPLE.model_dump_json().encode(),)),
    Target("traces", fuzz_traces, (_TRACE.encode(), b"Just an answer.")),
    Target("answers", fuzz_answers, _ANSWERS),
    Target(
        "drafts", fuzz_drafts, (b"# Locks\n- Users must not pick locks.\n## Allowed\n- Own.\n",)
    ),
    Target("replies", fuzz_replies, (json.dumps(_REPLY).encode(),)),
    Target("requests", fuzz_requests, (json.dumps(_BODY).encode(),)),
    Target("results", fuzz_results, (b'{"schema": 1, "title": "t", "models": {}}',)),
)
