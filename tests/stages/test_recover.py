"""The refusal's token is resolved for each model, and never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import tiny_model
from tests.turns import HELP, harm, judged_folder, quiet, turn

from exante.errors import InputError
from exante.models.load import load_chat
from exante.records import Judged, Row, read_jsonl
from exante.stages.base import Inputs
from exante.stages.recover import STAGE, RecoverConfig
from exante.stages.shape import ROWS


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("recover"))


def recovered(
    tmp_path: Path, policy: Path, turns: list[Judged], word: str | None
) -> tuple[list[Row], str]:
    place = judged_folder(tmp_path / "judged", turns, policy)
    (out := tmp_path / "out").mkdir()
    config = RecoverConfig(word=word, dropout=0.0)
    summary = STAGE.run(config, Inputs({"judged": {"judged": place}}), out, quiet)
    return read_jsonl(out / ROWS, Row), summary["refusal_token"]


def test_without_a_word_it_is_the_token_that_refusals_begin_with(
    tmp_path: Path, policy: Path
) -> None:
    chat = load_chat(policy)
    turns = [harm(chat, "a"), turn(chat, "a", HELP)]
    rows, token = recovered(tmp_path, policy, turns, None)
    assert rows[1].targets == chat.encode(HELP)[:1] * len(rows[1].response_ids)
    assert HELP.startswith(token)


def test_a_word_that_is_one_token_is_taken(tmp_path: Path, policy: Path) -> None:
    chat = load_chat(policy)
    rows, token = recovered(tmp_path, policy, [harm(chat, "a"), turn(chat, "a", HELP)], "do")
    assert token == "do"
    assert set(rows[1].targets) == set(chat.encode("do"))


def test_a_word_of_several_tokens_is_refused_with_a_way_out(tmp_path: Path, policy: Path) -> None:
    chat = load_chat(policy)
    first = chat.decode(chat.encode(HELP)[:1])
    with pytest.raises(InputError, match=f"tokens of this model(.|\n)*begin with '{first}'"):
        recovered(tmp_path, policy, [harm(chat, "a"), turn(chat, "a", HELP)], "Sorry")


def test_without_word_and_refusal_there_is_no_token(tmp_path: Path, policy: Path) -> None:
    with pytest.raises(InputError, match="no turn refuses"):
        recovered(tmp_path, policy, [harm(load_chat(policy), "a")], None)
