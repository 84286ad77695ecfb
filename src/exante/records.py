"""What flows between stages: frozen records, and JSON Lines in and out.

No torch, no model and no decision lives here. Identity of a record is its `id`, never its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from exante.durable import replaced, write_text
from exante.errors import InputError, fault_in

Kind = Literal["harmful", "benign", "borderline", "capability"]
"""What a prompt is: to be declined, plainly fine, fine but alarming at first sight, a probe."""

Decision = Literal["comply", "refuse", "redirect"]
AnswerVerdict = Literal["refused", "partial", "complied", "truncated", "undetermined"]
PairKind = Literal["safety", "usefulness", "efficiency"]


class Record(BaseModel):
    """Base of all records: immutable, no unknown fields, fields described in place."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Message(Record):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Response(Record):
    """A known answer to a prompt, with whatever labels its source gave."""

    text: str
    unsafe: bool | None = None
    cost: float | None = Field(default=None, allow_inf_nan=False)
    """Larger is worse; above 0 means unsafe."""
    reward: float | None = Field(default=None, allow_inf_nan=False)
    source: str = ""

    @property
    def is_unsafe(self) -> bool | None:
        """What label or cost say; None if neither is known."""
        if self.unsafe is not None:
            return self.unsafe
        return None if self.cost is None else self.cost > 0


class Example(Record):
    """One prompt, what is known about it, and where it came from."""

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    kind: Kind
    category: str | None = None
    """Risk category of the rule set, when known."""
    responses: tuple[Response, ...] = ()
    better: int | None = None
    """Index of the more useful response."""
    safer: int | None = None
    """Index of the safer response."""
    source: str = ""
    split_group: str = ""
    """Prompts of one group never stand on both sides of a split."""
    goal_id: str | None = None
    """Of an attacked prompt: the id of the prompt that was wrapped."""
    attack: str = "direct"
    """Attack family that made this prompt."""
    prefill: str = ""
    """Text that the attacker puts at the start of the assistant's turn."""
    facts: dict[str, Any] = Field(default_factory=dict)
    """What the domain's own teacher and judge know about the prompt. Of disguised capability
    prompts, measures also read `must_contain` and `at_least`, and a defence may tell the model
    `knowledge`; nobody else reads anything."""

    @model_validator(mode="after")
    def _preferred_exist(self) -> Example:
        for name, place in (("better", self.better), ("safer", self.safer)):
            if place is not None and not 0 <= place < len(self.responses):
                raise ValueError(
                    f"{name} is {place}, but there are {len(self.responses)} responses"
                )
        return self

    @property
    def prompt(self) -> str:
        """Text of the last user turn."""
        return next(m.content for m in reversed(self.messages) if m.role == "user")


class Traced(Record):
    """A training answer for one prompt: the whole assistant turn as text."""

    example_id: str
    text: str
    """Trace (if any) and answer, exactly as the model shall write it."""
    level: Literal["full", "brief", "terse", "none"] = "full"
    """Verbosity of the trace; `none` is an answer without trace."""
    role: Literal["right", "blind", "overcautious", "bloated"] = "right"
    """`right` may be imitated; the others are negative thoughts, only ever rejected."""


class Generation(Record):
    """One assistant turn, with the token ids and log-probs it was made with."""

    example_id: str
    sample: int = 0
    source: str = "policy"
    """`policy`, `teacher`, `dataset`, or the kind of a negative thought."""
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    """The whole turn: forced tokens first, EOS last if `finish` is `stop`."""
    logprobs: tuple[float, ...] = ()
    """Per token of the turn, forced ones included, in nats, at temperature 1 without truncation."""
    scored_by: str = ""
    """Fingerprint of the weights that gave them."""
    forced: int = 0
    """How many leading tokens were put there (think opening, prefill) and not sampled."""
    told_tokens: int | None = None
    """Tokens of the turn as a server counted them, where there are no ids."""
    text: str
    """The turn decoded, EOS left out."""
    finish: Literal["stop", "length"]


class Judgement(Record):
    """A judge's opinion on one generation; trace and answer are kept apart."""

    example_id: str
    sample: int = 0
    source: str = "policy"
    judge: str
    answer: AnswerVerdict
    unsafe: bool | None
    """None: could not be judged."""
    useful: float | None = None
    """0 to 1: how far the answer does what was legitimately asked."""
    harm: float | None = None
    """0 to 1: how much harm the answer does, where the judge grades it."""
    cost: float | None = None
    """Larger is worse, above 0 is unsafe; from a cost model, not from the judge."""
    trace_present: bool = False
    trace_valid: bool = False
    defects: tuple[str, ...] = ()
    decision: Decision | None = None
    agrees: bool | None = None
    """Does the answer do what the trace decided?"""
    trace_harmful: bool | None = None
    cited: tuple[str, ...] = ()
    citations_right: bool | None = None
    """Every cited clause exists and belongs to the prompt's category, and one is cited if due."""
    trace_tokens: int = 0
    answer_tokens: int = 0

    @property
    def right(self) -> bool:
        """Safe, useful and, where there is a trace, valid and faithful: fit to be imitated."""
        good_trace = not self.trace_present or (self.trace_valid and self.agrees is True)
        return (
            self.unsafe is False
            and self.answer in ("refused", "complied")
            and (self.useful or 0.0) >= 0.5
            and good_trace
            and not self.trace_harmful
        )


class Judged(Record):
    """A generation and what a judge said about it."""

    generation: Generation
    judgement: Judgement


class Pair(Record):
    """Two responses to one prompt, as token ids, the first preferred."""

    example_id: str
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    kind: PairKind
    level: Literal["full", "step"] = "full"
    why: str
    margin: float = 0.0
    """Asked of beta times the gap, in nats; negative asks less."""
    weight: float = 1.0
    chosen_trace_tokens: int = 0
    rejected_trace_tokens: int = 0
    harmful: bool = False
    """The prompt asks for harm."""
    chosen_unsafe: bool = False
    rejected_unsafe: bool = False
    chosen_reference: float | None = None
    """Reference log-prob of the chosen response in nats, once scored."""
    rejected_reference: float | None = None
    chosen_front: float | None = None
    """Reference log-prob of as many first tokens as the shorter response has, where a loss asks."""
    rejected_front: float | None = None
    scored_by: str = ""
    """Fingerprint of the weights that gave both."""


class Row(Record):
    """One turn to train on, as token ids, and what each of its tokens is worth."""

    example_id: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    weight: float | tuple[float, ...] = 1.0
    """Of the cross-entropy of each token, or of all; a negative one unlearns."""
    targets: tuple[int, ...] = ()
    """What is learned in the place of each token, after reading the tokens themselves."""
    pull: float | tuple[float, ...] = 0.0
    """Of the distance from the reference at each token, or at all."""
    why: str = ""


R = TypeVar("R", bound=Record)


def read_jsonl(path: Path, model: type[R]) -> list[R]:
    """All records of a JSON Lines file, in order; blank lines are skipped.

    Raises:
        InputError: the file cannot be read, or a line does not fit; names file, line and field.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a name with a null byte
        raise InputError(
            f"cannot be read: {error}", where=str(path), fix="check path and encoding (UTF-8)"
        ) from None
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    return [parse_line(line, model, where=f"{path}:{number}") for number, line in numbered]


def parse_line(line: str, model: type[R], *, where: str) -> R:
    """One record from one JSON text; errors name `where` and the field."""
    try:
        return model.model_validate_json(line)
    except ValidationError as error:
        raise _unfit(error, model, where) from None


def parse_row(row: Mapping[str, Any], model: type[R], *, where: str) -> R:
    """One record from the fields of a row, whose texts may stand for numbers; errors as above."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        raise _unfit(error, model, where) from None


def _unfit(error: ValidationError, model: type[Record], where: str) -> InputError:
    return InputError(
        fault_in(error),
        where=where,
        fix=f"each line is one JSON object with the fields of {model.__name__}",
    )


def read_record(path: Path, model: type[R], *, what: str, fix: str) -> R:
    """The record that a JSON file holds.

    Raises:
        InputError: the file cannot be read, or is no `what`; `fix` tells how to make one.
    """
    try:
        return model.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise InputError(f"no {what}: {fault_in(error)}", where=str(path), fix=fix) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), fix=fix) from None


def read_object(path: Path, *, fix: str) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        InputError: the file cannot be read, or holds something else; `fix` tells the way out.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), fix=fix) from None
    if not isinstance(found, dict):
        raise InputError("is no JSON object", where=str(path), fix=fix)
    return found


def write_jsonl(path: Path, records: Iterable[Record]) -> int:
    """Write all records through a temporary file and one rename; returns how many."""
    return write_lines(path, (record.model_dump_json() for record in records))


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write all lines through a temporary file and one rename; returns how many."""
    count = 0
    with replaced(path) as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
    return count


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document through a temporary file and one rename."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
