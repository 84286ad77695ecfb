"""Rows of every method train a model to completion, and do to it what the method is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import tiny_model
from tests.turns import HARM, HELP, asked, harm, judged_folder, model_folder, quiet, turn

from exante.errors import InputError
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat, load_model
from exante.models.score import score
from exante.records import Row, write_jsonl
from exante.stages.base import Inputs, model_of
from exante.stages.recover import STAGE as RECOVER
from exante.stages.reinforce import STAGE as REINFORCE
from exante.stages.shape import ROWS
from exante.stages.tune import STAGE, TuneConfig
from exante.training import TokenRow, TrainSettings, fit_tokens

TRAIN = TrainSettings(learning_rate=3e-3, epochs=8, batch_size=2, precision="float32")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tune"), seed=12)


def tuned(tmp_path: Path, policy: Path, rows: Path, **more: Path) -> tuple[Path, dict[str, Any]]:
    out = tmp_path / "tuned"
    out.mkdir()
    base = model_folder(tmp_path / "base", policy)
    inputs = Inputs(
        {"policy": {"base": base}, "rows": {"rows": rows}}
        | {role: {role: folder} for role, folder in more.items()}
    )
    summary = STAGE.run(TuneConfig(train=TRAIN), inputs, out, quiet)
    return model_of(out), summary


def written(tmp_path: Path, rows: list[Row]) -> Path:
    (folder := tmp_path / "rows").mkdir()
    write_jsonl(folder / ROWS, rows)
    return folder


def logprob(model: Path, text: str, before: str = "") -> float:
    """Of the text as an answer, in nats, behind a beginning."""
    chat = load_chat(model)
    prompt = (*chat.prompt_ids(asked("a").messages), *chat.encode(before))
    return score(load_model(model), [(prompt, chat.encode(text))], pad_id=1)[0]


def row(policy: Path, text: str, **worth: Any) -> Row:
    chat = load_chat(policy)
    return Row(
        example_id="a",
        prompt_ids=chat.prompt_ids(asked("a").messages),
        response_ids=chat.turn(text),
        **worth,
    )


def test_what_is_only_pulled_stays_where_it_is(policy: Path, tmp_path: Path) -> None:
    """STAR-DSS with V = 0 everywhere: the reference is where the policy stays."""
    model, summary = tuned(
        tmp_path, policy, written(tmp_path, [row(policy, HARM, weight=0.0, pull=0.5)] * 4)
    )
    assert summary["reference"] == "forward pass"
    assert summary["last_loss"] < 1e-6
    assert logprob(model, HARM) == pytest.approx(logprob(policy, HARM), abs=0.05)


def test_a_pull_goes_to_the_reference_that_is_named(policy: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=13)
    rows = written(tmp_path, [row(policy, HARM, weight=0.0, pull=1.0)] * 4)
    model, _ = tuned(tmp_path, policy, rows, reference=model_folder(tmp_path / "named", other))
    goal = logprob(other, HARM)
    assert abs(logprob(model, HARM) - goal) < abs(logprob(policy, HARM) - goal) / 2
    logged = json.loads((tmp_path / "tuned/log.jsonl").read_text().splitlines()[-1])
    assert abs(logged["log_ratio"]) < 0.1


def test_a_pull_without_a_reference_is_refused(policy: Path, tmp_path: Path) -> None:
    chat = load_chat(policy)
    pulled = TokenRow("a", (2, 3), chat.turn(HARM), pull=0.5)
    with pytest.raises(InputError, match="held at a reference"):
        fit_tokens([pulled], policy=policy, out=tmp_path, settings=TRAIN)


def test_refusal_is_learned_in_the_middle_of_harm(policy: Path, tmp_path: Path) -> None:
    """DeRTa from end to end."""
    chat = load_chat(policy)
    turns = [
        t for key in "abcdef" for t in (harm(chat, key), turn(chat, key, HELP, source="teacher"))
    ]
    place = judged_folder(tmp_path / "judged", turns, policy)
    (rows := tmp_path / "recovered").mkdir()
    config = RECOVER.config.model_validate({"word": None, "dropout": 0.5})
    RECOVER.run(config, Inputs({"judged": {"judged": place}}), rows, quiet)
    model, summary = tuned(tmp_path, policy, rows)
    assert summary["items"] == 12
    first = chat.decode(chat.encode(HELP)[:1])
    for before in ("", "Here is how", "Here is how: q1"):
        assert logprob(model, first, before) > logprob(policy, first, before) + 1
    assert logprob(model, HELP) > logprob(policy, HELP) + 5


def test_what_did_well_becomes_likelier_and_harm_less(policy: Path, tmp_path: Path) -> None:
    """RePO from end to end, and its multiplier from round to round."""
    chat = load_chat(policy)
    turns = [t for key in "abcdef" for t in (harm(chat, key), turn(chat, key, HELP, sample=1))]
    place = judged_folder(tmp_path / "judged", turns, policy)
    (rows := tmp_path / "reinforced").mkdir()
    inputs = Inputs({"judged": {"judged": place}})
    config = REINFORCE.config.model_validate({"multiplier": 1.0, "rate": 2.0, "highest": 2.5})
    summary = REINFORCE.run(config, inputs, rows, quiet)
    assert summary["mean_cost"] == 0.5
    model, _ = tuned(tmp_path, policy, rows)
    assert logprob(model, HELP) > logprob(policy, HELP) + 1
    assert logprob(model, HARM) < logprob(policy, HARM) - 1
    again = Inputs({"judged": {"judged": place}, "last": {"last": rows}})
    (second := tmp_path / "second").mkdir()
    assert REINFORCE.run(config, again, second, quiet)["multiplier"] == 2.0
    (third := tmp_path / "third").mkdir()
    last = Inputs({"judged": {"judged": place}, "last": {"last": second}})
    assert REINFORCE.run(config, last, third, quiet)["multiplier"] == 2.5


def test_without_rows_the_policy_goes_on_as_it_is(policy: Path, tmp_path: Path) -> None:
    model, summary = tuned(tmp_path, policy, written(tmp_path, []))
    assert summary == {"items": 0}
    assert weights_fingerprint(model) == weights_fingerprint(policy)
