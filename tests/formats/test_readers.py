"""Every format is recognised by its columns and read as its authors mean it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_rows import ASK, PKU, ROWS, SAFE, STAR, UNSAFE, bot, user

from exante import traces
from exante.errors import InputError
from exante.formats import FORMATS, Reading, known_format, read_row, recognised, unread
from exante.records import Example

WORDS = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "response", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
COLUMNS = sorted({column for form in FORMATS.values() for column in form.columns})


def read(row: dict[str, Any], name: str | None = None, how: Reading | None = None) -> Example:
    form = known_format(name) if name else recognised(row)
    assert form is not None
    return read_row(form, Path("x.jsonl"), 1, 1, row, how or Reading()).example


def texts(example: Example) -> list[str]:
    return [response.text for response in example.responses]


@pytest.mark.parametrize("name", list(FORMATS))
def test_each_format_is_recognised_by_its_columns(name: str) -> None:
    found = recognised(ROWS[name])
    assert found is not None
    assert found.name == name


def test_pku_keeps_both_preferences_and_all_labels() -> None:
    example = read({**PKU, "response_0_severity_level": 2, "response_1_severity_level": 0})
    assert (example.prompt, texts(example)) == (ASK, [UNSAFE, SAFE])
    assert [r.unsafe for r in example.responses] == [True, False]
    assert [r.cost for r in example.responses] == [2.0, 0.0]
    assert (example.better, example.safer) == (0, 1)


def test_a_missing_label_stays_missing() -> None:
    example = read({**PKU, "is_response_0_safe": None, "better_response_id": ""})
    assert example.responses[0].is_unsafe is None
    assert (example.better, example.safer) == (None, 1)


def test_the_first_answer_of_a_pair_is_the_safe_one() -> None:
    example = read(ROWS["pku_pairs"])
    assert [r.unsafe for r in example.responses] == [False, True]
    assert (example.better, example.safer) == (None, 0)


def test_transcripts_share_all_turns_but_the_last() -> None:
    example = read(ROWS["hh"])
    assert [m.role for m in example.messages] == ["user", "assistant", "user"]
    assert (example.prompt, texts(example)) == (ASK, [SAFE, UNSAFE])
    assert (example.better, example.safer) == (0, None)
    safer = read(ROWS["hh"], how=Reading(prefers="safer"))
    assert (safer.better, safer.safer) == (None, 0)


def test_ratings_of_aspects_count_and_not_the_overall_score() -> None:
    example = read(ROWS["ultrafeedback"])
    assert [r.reward for r in example.responses] == [4.5, 2.0]
    assert example.better == 0
    assert [r.source for r in example.responses] == ["one", "two"]
    bare = [{"response": "a", "overall_score": 3}, {"response": "b", "fine-grained_score": 4}]
    example = read({"instruction": "x", "completions": bare})
    assert ([r.reward for r in example.responses], example.better) == ([3.0, 4.0], 1)
    tied = [{"response": text, "overall_score": 3} for text in "ab"]
    assert read({"instruction": "x", "completions": tied}).better is None


CHAT = [user("Which colour?")]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Which colour?", "chosen": " Blue.", "rejected": " Green."},
        {"prompt": CHAT, "chosen": [bot("Blue.")], "rejected": [bot("Green.")]},
        {"prompt": "Which colour?", "chosen": [bot("Blue.")], "rejected": [bot("Green.")]},
        {"chosen": [*CHAT, bot("Blue.")], "rejected": [*CHAT, bot("Green.")]},
        {
            "prompt": "Which colour?",
            "chosen": [*CHAT, bot("Blue.")],
            "rejected": [*CHAT, bot("Green.")],
            "score_chosen": 8.0,
            "score_rejected": 3.0,
        },
        {"chosen": "Which colour? Blue.", "rejected": "Which colour? Green."},
        {"instruction": "Which colour?", "chosen": "Blue.", "rejected": "Green."},
    ],
)
def test_all_forms_of_a_preference_mean_the_same(row: dict[str, Any]) -> None:
    example = read(row)
    assert (example.prompt, texts(example), example.better) == (
        "Which colour?",
        ["Blue.", "Green."],
        0,
    )
    expected = [8.0, 3.0] if "score_chosen" in row else [None, None]
    assert [r.reward for r in example.responses] == expected


def test_an_implicit_prompt_ends_between_words() -> None:
    example = read({"chosen": "Say it: blueish", "rejected": "Say it: blues"})
    assert (example.prompt, texts(example)) == ("Say it:", ["blueish", "blues"])


def test_one_answer_with_its_label() -> None:
    example = read(ROWS["beavertails"])
    assert ([r.unsafe for r in example.responses], example.facts) == (
        [True],
        {"categories": ["poisons"]},
    )
    assert read(ROWS["unpaired"]).responses[0].reward == 1.0
    safe = read({**ROWS["unpaired"], "label": "false"}, how=Reading(prefers="safer"))
    assert (safe.responses[0].unsafe, safe.responses[0].reward) == (True, None)
    steps = read(ROWS["stepwise"])
    assert (texts(steps), steps.responses[0].reward) == (["4\n7"], 0.5)


def test_one_answer_to_imitate() -> None:
    assert read(ROWS["answer"]).prompt == "Add them.\n\n2 and 3"
    assert texts(read(ROWS["conversation"])) == ["Blue."]
    chat = {"prompt": CHAT, "completion": [bot("Blue.")]}
    assert (read(chat).prompt, texts(read(chat))) == ("Which colour?", ["Blue."])
    assert read({"prompt": CHAT}).prompt == "Which colour?"
    assert read({"prompt": "Soup?", "response": "Yes.", "kind": "borderline"}).kind == "borderline"


def test_free_reasoning_becomes_a_valid_trace_without_checks() -> None:
    form = known_format("star1")
    example, says_kind, misfits = read_row(form, Path("x"), 1, 1, STAR, Reading())
    parsed = traces.parse(example.responses[0].text)
    assert (parsed.valid, parsed.answer, says_kind) == (True, SAFE, True)
    assert parsed.trace == traces.Trace(
        "They ask about harond. The policy on poisons says no.", None, (), "refuse", "So I decline."
    )
    assert (example.kind, example.facts["categories"]) == ("harmful", ["Poisons"])
    assert misfits == (
        "traces have no verify section: their reasoning cites no clause",
        "decision read off the answer: refuse",
    )


def test_what_was_answered_safely_is_a_redirection_or_for_benign_prompts_compliance() -> None:
    row = {**STAR, "response": "<think>One paragraph.</think>Harond is known since long."}
    decisions = {
        kind: traces.parse(read(row, how=Reading(kind=kind)).responses[0].text).trace
        for kind in ("harmful", "benign")
    }
    assert {kind: trace and trace.decision for kind, trace in decisions.items()} == {
        "harmful": "redirect",
        "benign": "comply",
    }


def test_the_kind_that_a_row_names_decides_between_redirection_and_compliance() -> None:
    row = {**STAR, "response": "<think>One.</think>Harond is known since long.", "kind": "benign"}
    found = read(row)
    trace = traces.parse(found.responses[0].text).trace
    assert (found.kind, trace and trace.decision) == ("benign", "comply")


def test_what_stands_before_an_instruction_with_an_input_stays() -> None:
    chat = [{"role": "system", "content": "Be brief."}, user("Add these.")]
    found = read({"prompt": chat, "input": "1 and 2", "completion": "3"})
    assert [(turn.role, turn.content) for turn in found.messages] == [
        ("system", "Be brief."),
        ("user", "Add these.\n\n1 and 2"),
    ]


def test_an_answer_as_a_chat_is_no_list_of_two_answers() -> None:
    found = read({"prompt": ASK, "response": [bot("Soup.")]})
    assert [response.text for response in found.responses] == ["Soup."]


def test_an_output_that_is_missing_is_no_answer() -> None:
    row = {"instruction": "Sing.", "instances": [{"input": "", "output": None}]}
    assert read(row).responses == ()


def test_columns_that_say_the_kind_are_read_in_every_format_but_our_own() -> None:
    row = {"prompt": ASK, "kind": "harmful", "type": "safe", "id": 3}
    assert unread(known_format("preference"), row) == ("id",)
    assert unread(known_format("examples"), row) == ("prompt", "type")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("preference", {"kind": "harmfull"}, "x.jsonl:1: kind: unknown kind 'harmfull'"),
        ("star1", {"kind": ""}, "x.jsonl:1: kind: unknown kind ''"),
        ("conversation", {"messages": [user("a"), user("b")]}, "x.jsonl:1: messages: user in the"),
        ("examples", {"responses": [{"text": "a", "reward": float("inf")}]}, "0.reward: Input"),
        ("examples", {"messages": [user(" ")]}, "messages: the last one is empty"),
        ("pku", {"prompt": " "}, "x.jsonl:1: prompt: the prompt is empty"),
        ("pku", {"response_0": 3}, "x.jsonl:1: response_0: int in the place of a text"),
        ("pku", {"is_response_0_safe": "maybe"}, "is_response_0_safe: 'maybe' is neither true nor"),
        ("pku", {"better_response_id": 2}, "better_response_id: 2 is no place of a response"),
        ("pku", {"response_0_severity_level": "high"}, "severity_level: 'high' is no number"),
        ("pku_pairs", {"response": ["a"]}, "response: no list of two answers"),
        ("hh", {"chosen": "Hello"}, "chosen: no transcript"),
        ("hh", {"chosen": "\n\nHuman: Other\n\nAssistant: a"}, "differ before their last turn"),
        ("hh", {"chosen": f"\n\nHuman: {ASK}"}, "differ before their last turn"),
        ("preference", {"prompt": "", "chosen": "one", "rejected": "two"}, "there is no prompt"),
        (
            "preference",
            {"prompt": [bot("a")]},
            "prompt: the prompt does not end with what the user",
        ),
        (
            "preference",
            {"chosen": [{"role": "tool", "content": ""}]},
            "chosen: no turn with a text",
        ),
        ("preference", {"chosen": [user("a")], "rejected": [bot("b")]}, "user in the place of one"),
        ("ultrafeedback", {"completions": ["a"]}, "completions: no list of objects"),
        ("beavertails", {"category": 3}, "category: neither flags by name nor names"),
        ("stepwise", {"labels": []}, "completions: no two lists of the same length"),
        ("star1", {"response": "No thought."}, "response: no reasoning with an answer behind it"),
        ("star1", {"response": "<think> </think>Yes."}, "response: the reasoning is empty"),
        ("conversation", {"messages": [bot("a")]}, "does not end with what the user asks"),
        ("examples", {"better": 1}, "better is 1, but there are 0 responses"),
        ("examples", {"kind": "evil"}, "kind: Input should be"),
    ],
)
def test_faults_name_line_and_field(name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read({**ROWS[name], **change}, name)
    assert message in str(caught.value)


@given(name=st.sampled_from(list(FORMATS)), data=st.data())
def test_any_row_gives_an_example_or_a_typed_error(name: str, data: st.DataObject) -> None:
    columns = FORMATS[name].columns
    row = data.draw(st.dictionaries(st.sampled_from(columns), VALUES, max_size=len(columns)))
    if data.draw(st.booleans()):
        row = {**ROWS[name], **row}
    with suppress(InputError):
        example = read(row, name)
        assert Example.model_validate_json(example.model_dump_json()) == example


@given(row=st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=6))
def test_any_row_has_a_format_or_none(row: dict[str, Any]) -> None:
    found = recognised(row)
    assert found is None or found.name in FORMATS
