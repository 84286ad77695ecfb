"""The sampler against a plain loop without cache, batch or seed tricks."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.models.test_forward import ALONE, FAMILIES, model_of
from tests.tiny import tiny_model

from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.folders import resolve
from exante.models.load import load_chat, load_model
from exante.models.sample import (
    FEWEST_ROWS,
    MOST_ROWS,
    Request,
    Sampled,
    SamplingSettings,
    rows_that_fit,
    sample,
)
from exante.models.score import score
from exante.records import Message

ASKS = ("How do I do this?", "No.", "I cannot help with that, I cannot, I do not. How?", "That")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Chat]:
    folder = tiny_model(tmp_path_factory.mktemp("sample"), seed=3)
    return load_model(folder), load_chat(folder)


def requests(chat: Chat, forced: str = "") -> list[Request]:
    return [
        Request(
            f"r{i}",
            chat.prompt_ids([Message(role="user", content=ask)]),
            chat.encode(forced) if forced else (),
        )
        for i, ask in enumerate(ASKS)
    ]


def sampled(
    loaded: tuple[Any, Chat], asked: list[Request], **settings: Any
) -> dict[tuple[str, int], Sampled]:
    found = sample(*loaded, asked, SamplingSettings(**settings))
    return {(turn.id, turn.sample): turn for turn in found}


@pytest.mark.parametrize("forced", ["", "<think>"])
def test_greedy_turns_are_those_of_a_plain_loop(loaded: tuple[Any, Chat], forced: str) -> None:
    model, chat = loaded
    asked = requests(chat, forced)
    turns = sampled(loaded, asked, max_new_tokens=12, batch_size=3)
    for request in asked:
        ids = [*request.prompt_ids, *request.forced_ids]
        expected = list(request.forced_ids)
        for _ in range(12):
            with torch.inference_mode():
                token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)
            expected.append(token)
            if token == chat.eos_id:
                break
        turn = turns[request.id, 0]
        assert list(turn.token_ids) == expected
        assert turn.finish == ("stop" if expected[-1] == chat.eos_id else "length")


def test_log_probs_are_those_of_a_forward_pass(loaded: tuple[Any, Chat]) -> None:
    model, chat = loaded
    asked = requests(chat)
    turns = sampled(loaded, asked, n=2, temperature=1.3, max_new_tokens=20, seed=4)
    rows = [(r.prompt_ids, turns[r.id, i].token_ids) for r in asked for i in range(2)]
    again = score(model, rows, pad_id=chat.pad_id)
    sums = [sum(turns[r.id, i].logprobs) for r in asked for i in range(2)]
    assert sums == pytest.approx(again, abs=1e-3)


def test_a_turn_does_not_depend_on_its_batch(loaded: tuple[Any, Chat]) -> None:
    asked = requests(loaded[1])
    options = {"n": 3, "temperature": 1.0, "max_new_tokens": 16, "seed": 9}
    together = sampled(loaded, asked, batch_size=12, **options)
    alone = sampled(loaded, asked, batch_size=1, **options)
    assert {k: t.token_ids for k, t in together.items()} == {
        k: t.token_ids for k, t in alone.items()
    }


def test_samples_differ_and_seeds_change_them(loaded: tuple[Any, Chat]) -> None:
    asked = requests(loaded[1])[:1]
    first = sampled(loaded, asked, n=4, temperature=1.0, max_new_tokens=8)
    other = sampled(loaded, asked, n=4, temperature=1.0, max_new_tokens=8, seed=1)
    texts = {turn.token_ids for turn in first.values()}
    assert len(texts) == 4
    assert texts.isdisjoint({turn.token_ids for turn in other.values()})


def test_tokens_come_with_their_probability() -> None:
    """The miniature's first token after a listing request, 3000 times, against its softmax."""
    folder = resolve("miniature")
    model, chat = load_model(folder), load_chat(folder)
    ids = chat.prompt_ids([Message(role="user", content="Stay or keep calm?")])
    settings = SamplingSettings(n=3000, temperature=2.0, max_new_tokens=1, batch_size=3000)
    turns = sample(model, chat, [Request("one", ids)], settings)
    counts = Counter(turn.token_ids[0] for turn in turns)
    with torch.inference_mode():
        expected = (model(input_ids=torch.tensor([ids])).logits[0, -1].double() / 2).softmax(-1)
    common = (expected > 0.01).nonzero()[:, 0].tolist()
    assert len(common) > 3
    for token in common:
        share, deviation = float(expected[token]), (float(expected[token]) / 3000) ** 0.5
        assert abs(counts[token] / 3000 - share) < 5 * deviation


def test_the_length_limit_is_kept_and_said(loaded: tuple[Any, Chat]) -> None:
    turns = sampled(loaded, requests(loaded[1]), max_new_tokens=3)
    for turn in turns.values():
        assert len(turn.token_ids) <= 3
        assert (turn.finish == "length") == (turn.token_ids[-1] != loaded[1].eos_id)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_decoded_as_by_a_plain_loop(family: str, loaded: tuple[Any, Chat]) -> None:
    """Windows, mixed layers, sinks, learned positions; turns much longer than the window of 4."""
    model, chat = model_of(FAMILIES[family]), loaded[1]
    asked = [
        Request("a", (5, 6, 7, 8, 9), (10,)),
        Request("b", (11, 12), ()),
        Request("c", (5, 6, 7, 8, 9), (10, 13)),
    ]
    settings = SamplingSettings(max_new_tokens=9, batch_size=2)
    for turn in sample(model, chat, asked, settings):
        request = next(r for r in asked if r.id == turn.id)
        ids = [*request.prompt_ids, *request.forced_ids]
        while len(ids) < len(request.prompt_ids) + len(turn.token_ids):
            with torch.inference_mode():
                ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        assert list(turn.token_ids) == ids[len(request.prompt_ids) :]
        with torch.no_grad():
            logprobs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        start = len(request.prompt_ids)
        expected = [float(logprobs[i - 1, ids[i]]) for i in range(start, len(ids))]
        assert turn.logprobs == pytest.approx(expected, abs=1e-4)


def test_models_with_a_state_are_refused_with_a_reason(loaded: tuple[Any, Chat]) -> None:
    model = model_of(ALONE["mamba, a state"])
    with pytest.raises(InputError, match="keep a state"):
        list(sample(model, loaded[1], [Request("a", (5,))], SamplingSettings()))


def test_equal_starts_that_are_split_otherwise_keep_their_own_log_probs(
    loaded: tuple[Any, Chat],
) -> None:
    asked = [Request("whole", (5, 6, 7)), Request("forced", (5,), (6, 7))]
    turns = sampled(loaded, asked, max_new_tokens=4)
    for turn in turns.values():
        assert len(turn.logprobs) == len(turn.token_ids)
    assert turns["forced", 0].token_ids[:2] == (6, 7)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_a_kill_left_is_sampled_as_it_would_have_been(
    loaded: tuple[Any, Chat], temperature: float
) -> None:
    model, chat = loaded
    asked = requests(chat)
    settings = SamplingSettings(n=3, temperature=temperature, max_new_tokens=12, batch_size=2)
    whole = list(sample(model, chat, asked, settings))
    keys = [(turn.id, turn.sample) for turn in whole]
    for count in range(len(keys)):
        again = list(sample(model, chat, asked, settings, done=keys[:count]))
        # Equal to the last digit of every log-prob; blocks that were whole are not sampled again.
        assert again == whole[len(whole) - len(again) :]
        assert 0 <= count - (len(whole) - len(again)) < 2 * 4
    assert len(whole) > 2 * 4
    assert not list(sample(model, chat, asked, settings, done=keys))


def test_a_gpu_of_ones_own_gives_the_same_rows_whatever_was_done_there_before(
    loaded: tuple[Any, Chat], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a sampling that is continued would take its rows in other blocks."""
    model, total = loaded[0], 8 << 30
    there = SimpleNamespace(
        device=torch.device("cuda"),
        dtype=model.dtype,
        config=model.config,
        parameters=model.parameters,
    )

    def rows(free: int) -> int:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, total))
        return rows_that_fit(there, columns=100_000)

    own = rows(total - (500 << 20))
    assert rows(total - (900 << 20)) == own
    # Beside others there is less, and never more than half of what they leave.
    assert FEWEST_ROWS < rows(total // 2) <= own // 2 < own < MOST_ROWS
