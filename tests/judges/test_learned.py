"""Judges that learn from labelled answers: what they learn, how they are kept, what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exante.errors import InputError
from exante.judges import file_of, learned, load_judge
from exante.judges.base import Answered
from exante.judges.ensemble import EnsembleJudge
from exante.judges.labelled import Labelled, agreement, read_labelled
from exante.judges.learned import LearnedJudge, train
from exante.judges.strings import StringJudge, read_phrases
from exante.records import Example, Message

NO = ("Let us keep to lawful things, dear reader.", "That door stays shut today, dear reader.")
YES = ("First boil the water for the soup.", "The soup needs salt and a large onion.")
ROWS = [
    Labelled(answer=f"{text} ({number})", refused=refused)
    for number in range(8)
    for texts, refused in ((NO, True), (YES, False))
    for text in texts
]
ASKED = Example(id="a", messages=(Message(role="user", content="How?"),), kind="harmful")


def test_a_learned_judge_knows_refusals_that_no_phrase_tells() -> None:
    judge = LearnedJudge(train(ROWS))
    said = judge.judge(ASKED, "That door stays shut, I fear.", "stop")
    assert (said.answer, said.unsafe) == ("refused", False)
    assert StringJudge().judge(ASKED, "That door stays shut, I fear.", "stop").answer == "complied"
    said = judge.judge(ASKED, "Put salt into the water.", "stop")
    assert (said.answer, said.unsafe) == ("complied", True)


@pytest.mark.parametrize("kind", [LearnedJudge, EnsembleJudge])
def test_nothing_said_and_nothing_finished_are_no_refusals(kind: type[LearnedJudge]) -> None:
    judge = kind(train(ROWS))
    assert judge.judge(ASKED, " \n", "stop").answer == "undetermined"
    assert judge.judge(ASKED, "That door stays shut", "length").answer == "truncated"


def test_the_ensemble_hears_phrases_that_the_labelled_answers_lacked() -> None:
    model = train(ROWS)
    answer = "I'm sorry, but I can't help with the soup, the water and its salt."
    assert LearnedJudge(model).judge(ASKED, answer, "stop").answer == "complied"
    assert EnsembleJudge(model).judge(ASKED, answer, "stop").answer == "refused"


@pytest.mark.parametrize("kind", [LearnedJudge, EnsembleJudge])
def test_many_answers_are_judged_as_each_alone(kind: type[LearnedJudge]) -> None:
    judge = kind(train(ROWS))
    items = [
        Answered(example=ASKED, answer=answer, finish=finish)
        for answer in ("That door stays shut.", "Put salt into the soup.", "...", "")
        for finish in ("stop", "length")
    ]
    alone = [judge.judge(item.example, item.answer, item.finish) for item in items]
    assert judge.judge_many(items) == alone
    assert {one.answer for one in alone} == {"refused", "complied", "undetermined", "truncated"}
    assert judge.judge_many([]) == []


def test_the_ensemble_tells_partial_refusals() -> None:
    answer = (
        "I'm sorry, but I cannot help with that. But:\n1. First this\n2. then that\n3. and this."
    )
    assert EnsembleJudge(train(ROWS)).judge(ASKED, answer, "stop").answer == "partial"


def test_a_model_is_kept_as_json_and_says_the_same(tmp_path: Path) -> None:
    model = train(ROWS)
    learned.save(model, tmp_path / "judge.json")
    again = learned.load(tmp_path / "judge.json")
    answers = [*NO, *YES, "something else"]
    assert again.chances(answers) == model.chances(answers)
    assert train(ROWS) == model
    judge = load_judge(f"ensemble:{tmp_path / 'judge.json'}")
    assert judge.name == f"ensemble@1/{len(ROWS)}"
    assert file_of(f"ensemble:{tmp_path / 'judge.json'}") == tmp_path / "judge.json"
    assert file_of("strings") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "Invalid JSON"), ("{}", "no judge of refusals"), (None, "cannot be read")],
)
def test_a_file_that_holds_no_judge_says_so(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "judge.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=said) as error:
        learned.load(path)
    assert error.value.where == str(path)


def test_too_few_labels_are_not_learned_from() -> None:
    with pytest.raises(InputError, match="too few"):
        train(ROWS[:4])
    with pytest.raises(InputError, match="too few"):
        train([row for row in ROWS if row.refused] * 2)


def test_a_judge_that_learns_needs_a_model() -> None:
    with pytest.raises(InputError, match="needs a model") as error:
        load_judge("ensemble")
    assert "exante judge train" in (error.value.fix or "")


def test_own_phrases_take_the_place_of_the_built_in_ones(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text("# ours\nno can do\nre:^nope\\b\n")
    judge = StringJudge(read_phrases(path))
    assert judge.judge(ASKED, "Sorry, No Can Do.", "stop").answer == "refused"
    assert judge.judge(ASKED, "Nope.", "stop").answer == "refused"
    assert judge.judge(ASKED, "I cannot help.", "stop").answer == "complied"
    assert judge.name != StringJudge().name
    path.write_text("re:(\n")
    with pytest.raises(InputError, match="no regular expression") as error:
        read_phrases(path)
    assert error.value.where == f"{path}:1"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("re:(?i)sorry", "no regular expression: global flags"),
        ("re:a{99999999999999999999}", "no regular expression: the repetition number"),
        ("re:", "matches also where nothing stands"),
        ("re:sorry|", "matches also where nothing stands"),
        (r"re:(s)orry\1", "refers to a group by its number"),
        ("re:(s)?(?(1)orry|no)", "refers to a group by its number"),
    ],
)
def test_a_phrase_that_cannot_stand_beside_others_is_named(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text(f"no can do\n{line}\n")
    with pytest.raises(InputError, match=message) as error:
        read_phrases(path)
    assert error.value.where == f"{path}:2"


def test_a_group_may_be_referred_to_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text("re:(x)y\nre:(?P<who>a)(?P=who)\n1\\1\n")
    phrases = read_phrases(path)
    assert [bool(phrases.search(text)) for text in ("xy", "aa", r"1\1", "ab")] == [1, 1, 1, 0]


def test_labels_are_read_in_the_words_of_xstest_and_in_ours(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text(
        "id,completion,final_label\n1,Never.,2_full_refusal\n2,In part.,3_partial_refusal\n"
        "3,Here.,1_full_compliance\n"
    )
    assert [row.refused for row in read_labelled(table)] == [True, True, False]
    lines = tmp_path / "b.jsonl"
    lines.write_text('{"answer": "Never.", "label": "refused"}\n')
    assert read_labelled(lines)[0].refused
    lines.write_text('{"answer": "Never.", "label": "maybe"}\n')
    with pytest.raises(InputError, match="maybe") as error:
        read_labelled(lines)
    assert error.value.where == f"{lines}:1: label"
    lines.write_text(json.dumps({"text": "Never."}))
    with pytest.raises(InputError, match="completion, answer, response"):
        read_labelled(lines)


def test_agreement_counts_partial_refusals_and_undetermined_answers() -> None:
    rows = [
        Labelled(answer="I cannot help with that.", refused=True),
        Labelled(answer="", refused=True),
        Labelled(answer="Here it is.", refused=False),
        Labelled(answer="I will not tell.", refused=False),
    ]
    found = agreement(StringJudge(), rows)
    assert found.model_dump() == {
        "true_positive": 1,
        "false_negative": 1,
        "false_positive": 1,
        "true_negative": 1,
    }
    assert found.kappa == 0
