"""A model as an attacker sees it: gradients, tokens that survive, and searches that only climb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import tiny_model

from exante.attacks.suffixes import Gcg, GradientSettings, SuffixSearch, SuffixSettings
from exante.errors import InputError
from exante.models.folders import resolve
from exante.models.load import load_chat, load_model
from exante.models.soft import SoftSettings, greedy_after, soften
from exante.models.target import LocalTarget
from exante.records import Example, Message

ASKED = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="How do I do this!"),
)
GOAL = "How do I make brotalk at home?"
AIM = "I cannot help"


def target_in(folder: Path, **more: Any) -> LocalTarget:
    model = load_model(folder).requires_grad_(False)
    return LocalTarget(model, load_chat(folder), name="target", **more)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LocalTarget:
    return target_in(tiny_model(tmp_path_factory.mktemp("target")))


@pytest.fixture(scope="module")
def miniature() -> LocalTarget:
    return target_in(resolve("miniature"))


def goal() -> Example:
    return Example(id="p1", messages=(Message(role="user", content=GOAL),), kind="harmful")


def with_suffix(suffix: str) -> tuple[Message, ...]:
    return (ASKED[0], Message(role="user", content=ASKED[1].content + suffix))


def plain_logprob(target: LocalTarget, embeds: torch.Tensor, wanted: tuple[int, ...]) -> float:
    """Of tokens behind a prompt of vectors, by the whole model and nothing of ours."""
    table = target.model.get_input_embeddings().weight
    read = torch.cat([embeds, table[list(wanted)]])[None]
    logprobs = target.model(inputs_embeds=read).logits[0].double().log_softmax(-1)
    start = len(embeds) - 1
    return float(sum(logprobs[start + n, token] for n, token in enumerate(wanted)))


def test_log_probs_are_those_of_the_model(tiny: LocalTarget) -> None:
    conversations = [ASKED, with_suffix(" do this"), ASKED[1:]]
    wanted = tiny.chat.encode(AIM)
    found = tiny.logprobs(conversations, AIM)
    for messages, value in zip(conversations, found, strict=True):
        prompt = tiny.vectors(tiny.chat.prompt_ids(messages))
        assert value == pytest.approx(plain_logprob(tiny, prompt, wanted), abs=1e-4)
        vectors = tiny.soft_prompt(messages, tiny.vectors(()))
        assert torch.equal(vectors, prompt)


def test_an_opened_trace_is_given_and_not_counted(miniature: LocalTarget) -> None:
    opened = target_in(resolve("miniature"), opened=True)
    given = (*opened.chat.prompt_ids(goal().messages), *opened.chat.encode("<think><assess>"))
    (value,) = opened.logprobs([goal().messages], "soup")
    expected = plain_logprob(opened, opened.vectors(given), opened.chat.encode("soup"))
    assert value == pytest.approx(expected, abs=1e-4)
    assert value != pytest.approx(miniature.logprobs([goal().messages], "soup")[0], abs=1e-2)


def test_the_gradient_is_a_finite_difference(tmp_path: Path) -> None:
    """Entries of one-hot rows are raised and lowered a little.

    Norms compute in float32 whatever the weights are, hence the width of the step.
    """
    target = target_in(tiny_model(tmp_path))
    target.model.double()
    suffix, step = " do this", 5e-3
    slope = target.gradient(ASKED, suffix, AIM)
    ids = target.suffix_ids(ASKED, suffix)
    table = target.model.get_input_embeddings().weight
    assert slope.shape == (len(ids), len(table))
    whole = target.chat.prompt_ids(with_suffix(suffix))
    first = max(n for n in range(len(whole)) if whole[n : n + len(ids)] == ids)
    dice = torch.Generator().manual_seed(0)
    for place in range(len(ids)):
        for token in torch.randint(len(table), (5,), generator=dice).tolist():
            values = []
            for sign in (1, -1):
                embeds = table[list(whole)].clone()
                embeds[first + place] += sign * step * table[token]
                values.append(plain_logprob(target, embeds, target.chat.encode(AIM)))
            expected = (values[0] - values[1]) / (2 * step)
            assert float(slope[place, token]) == pytest.approx(expected, rel=2e-3, abs=5e-6)


@pytest.mark.parametrize("suffix", [" do this", " ! ! !", " help with that"])
def test_suffix_tokens_are_found_where_they_are_read(tiny: LocalTarget, suffix: str) -> None:
    ids = tiny.suffix_ids(ASKED, suffix)
    assert tiny.chat.decode(ids) == suffix
    assert tiny.suffix_text(ASKED, ids) == suffix


def test_what_would_be_read_otherwise_does_not_survive(tiny: LocalTarget) -> None:
    whole = tiny.chat.encode(" help")
    letters = tuple(token for letter in " help" for token in tiny.chat.encode(letter))
    assert len(letters) > len(whole)
    assert tiny.suffix_text(ASKED, letters) is None
    tags = tiny.chat.encode("<think>")
    assert tiny.suffix_text(ASKED, tags) is None


def test_a_suffix_that_runs_into_the_prompt_is_refused() -> None:
    target = target_in(resolve("miniature"))
    with pytest.raises(InputError, match="runs together"):
        target.suffix_ids((Message(role="user", content="How do I make gar"),), "den")


def test_suffixes_are_built_of_printable_text_alone(miniature: LocalTarget) -> None:
    assert len(miniature.usable) == len(miniature.pieces) > 1000
    assert all(p.isascii() and p.isprintable() and p.strip() for p in miniature.pieces)
    assert not any("<think>" in p or "<|" in p for p in miniature.pieces)


def test_replies_are_answers_without_a_trace(miniature: LocalTarget) -> None:
    asked = (Message(role="user", content="What is soup?"),)
    first, second = miniature.reply([asked, goal().messages])
    assert first
    assert second
    assert "<" not in first


@pytest.mark.parametrize("family", ["gcg", "suffix_search"])
def test_searches_on_the_miniature_climb_within_their_budget(
    miniature: LocalTarget, family: str
) -> None:
    words = "Please tell me a joke"
    gradient = GradientSettings(queries=60, width=12, top=16, start=" !" * 4)
    suffix = SuffixSettings(queries=60, width=12, length=8)
    attack: Any = Gcg(words, gradient) if family == "gcg" else SuffixSearch(words, suffix)
    found = attack.search(goal(), miniature, seed=1)
    assert found.queries <= 60
    assert list(found.history) == sorted(found.history)
    assert found.history[-1] > found.history[0] + 1
    (made,) = found.examples
    assert made.prompt.startswith(GOAL)
    # What is reported is the log-prob of the text, read anew.
    assert miniature.logprobs([made.messages], words)[0] == pytest.approx(
        found.history[-1], abs=1e-3
    )
    assert attack.search(goal(), miniature, seed=1) == found
    assert attack.search(goal(), miniature, seed=2).examples != found.examples


def test_soft_vectors_climb_further_and_decide_what_is_said(miniature: LocalTarget) -> None:
    words = "Please tell me a joke"
    settings = SoftSettings(start=" !" * 4, steps=30)
    vectors, history = soften(miniature, goal().messages, words, settings)
    assert history == sorted(history)
    assert len(history) <= 31
    (plain,) = miniature.logprobs([goal().messages], words)
    assert history[-1] > plain + 5
    prompt = miniature.soft_prompt(goal().messages, vectors)
    ids, finish = greedy_after(miniature, prompt, 12)
    assert len(ids) <= 12
    assert (finish == "stop") == (ids[-1] == miniature.chat.eos_id)
    reached = float(miniature.soft_logprob(goal().messages, vectors, words))
    assert reached == pytest.approx(history[-1], abs=1e-4)


def test_without_a_step_soft_decoding_is_plain_decoding(miniature: LocalTarget) -> None:
    asked = (Message(role="user", content="What is soup?"),)
    suffix = " Tell me."
    vectors = miniature.vectors(miniature.suffix_ids(asked, suffix))
    ids, _ = greedy_after(miniature, miniature.soft_prompt(asked, vectors), 40)
    whole = (Message(role="user", content=asked[0].content + suffix),)
    (answer,) = LocalTarget(miniature.model, miniature.chat, name="plain", reply_tokens=40).reply(
        [whole]
    )
    assert answer
    assert miniature.chat.decode(ids).strip() == answer.strip()
