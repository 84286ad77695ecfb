"""lm-eval with the real package, offline: answers without traces, likelihoods, a local task."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lm_eval", reason="needs the extra: pip install 'exante[lmeval]'")

import yaml
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager
from tests.taught import FINE, REFUSAL, TRACE

from exante.errors import InputError
from exante.integrations.lmeval import ExanteLM, KeptTurn
from exante.records import Message, read_jsonl

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lm(taught: Path) -> ExanteLM:
    # What lm-eval's command line asks for, whatever there is.
    return ExanteLM(pretrained=str(taught), trace="open", trace_tokens=60, device="cuda:0")


def asked(kind: str, *arguments: Any) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


def generated(lm: ExanteLM, context: str, **options: Any) -> str:
    (text,) = lm.generate_until([asked("generate_until", context, {"max_gen_toks": 60, **options})])
    return text


def test_the_answer_comes_alone_and_the_trace_is_kept_aside(lm: ExanteLM) -> None:
    assert generated(lm, "What is this?") == FINE
    kept = lm.turns[-1]
    assert (kept.prompt, kept.trace, kept.answer) == ("What is this?", TRACE, FINE)
    assert kept.trace_tokens > 0


def test_a_cut_turn_and_an_endless_trace_give_nothing(lm: ExanteLM) -> None:
    assert generated(lm, "Say it all.", max_gen_toks=10) == ""
    assert (lm.turns[-1].finish, lm.turns[-1].returned) == ("length", "")
    assert generated(lm, "Say nothing.") == ""
    assert lm.turns[-1].answer is None


def test_stop_strings_act_on_the_answer_only(lm: ExanteLM) -> None:
    # The first letter of the trace is one of them.
    assert generated(lm, "What is this?", until=["a", " it"]) == "Here"
    assert generated(lm, "What is this?", until=" is") == "Here it"
    # A whole answer before the stop string is an answer, whatever came behind it.
    assert generated(lm, "Say it all.", until=[" so"], max_gen_toks=10) == "and"


def test_a_setting_we_do_not_have_is_refused_where_it_would_matter(lm: ExanteLM) -> None:
    with pytest.raises(InputError, match="does not sample with top_p, top_k"):
        generated(lm, "What is this?", do_sample=True, temperature=0.7, top_p=0.9, top_k=5)
    assert generated(lm, "What is this?", do_sample=False, temperature=0.7, top_p=0.9) == FINE
    assert generated(lm, "What is this?", do_sample=True, temperature=1e-3, top_p=1.0) == FINE


def test_requests_of_different_settings_come_back_in_order(lm: ExanteLM) -> None:
    requests = [
        asked("generate_until", text, {"max_gen_toks": most, "until": []})
        for text, most in (("What is this?", 60), ("How do I do this?", 61), ("What is this?", 62))
    ]
    assert lm.generate_until(requests) == [FINE, REFUSAL, FINE]


def test_a_chat_is_rendered_by_our_own_format(lm: ExanteLM) -> None:
    history = [{"role": "user", "content": "What is this?"}]
    assert generated(lm, lm.apply_chat_template(history)) == FINE
    begun = [*history, {"role": "assistant", "content": f"<think>{TRACE}</think>Here"}]
    context = lm.apply_chat_template(begun, add_generation_prompt=False)
    assert "Here" + generated(lm, context) == FINE
    assert lm.turns[-1].answer == FINE


def test_likelihoods_of_texts_are_those_of_one_plain_pass(lm: ExanteLM) -> None:
    model, chat = lm._assistant.model, lm._assistant.chat
    (found,) = lm.loglikelihood([asked("loglikelihood", "I cannot", " help with that.")])
    ids = [0, *chat.encode("I cannot help with that.")]
    start = 1 + len(chat.encode("I cannot"))
    with torch.inference_mode():
        logprobs = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    expected = sum(float(logprobs[i - 1, ids[i]]) for i in range(start, len(ids)))
    assert found[0] == pytest.approx(expected, abs=1e-4)
    (whole,) = lm.loglikelihood_rolling(
        [asked("loglikelihood_rolling", "I cannot help with that.")]
    )
    every = sum(float(logprobs[i - 1, ids[i]]) for i in range(1, len(ids)))
    assert whole == pytest.approx(every, abs=1e-4)
    (nothing,) = lm.loglikelihood([asked("loglikelihood", "", "I cannot help with that.")])
    assert nothing[0] == pytest.approx(every, abs=1e-4)


def test_a_space_at_the_end_of_a_context_belongs_to_the_next_word(lm: ExanteLM) -> None:
    rows = [("I cannot ", "help"), ("I cannot", " help")]
    found = lm.loglikelihood([asked("loglikelihood", *row) for row in rows])
    assert found[0] == pytest.approx(found[1])


def test_a_known_turn_is_greedy_in_a_chat(lm: ExanteLM) -> None:
    history = [{"role": "user", "content": "What is this?"}]
    context = lm.apply_chat_template(history)
    turn = f"<think>{TRACE}</think>{FINE}"
    found = lm.loglikelihood(
        [asked("loglikelihood", context, text) for text in (turn, "I cannot help with that.")]
    )
    assert [greedy for _, greedy in found] == [True, False]
    assert found[0][0] > found[1][0]


def test_long_texts_are_read_in_windows(lm: ExanteLM, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "I cannot help with that. " * 12
    whole, windows = [], []
    (total,) = lm.loglikelihood_rolling([asked("loglikelihood_rolling", text)])
    whole.append(total)
    monkeypatch.setattr(lm._assistant, "limit", 16)
    (total,) = lm.loglikelihood_rolling([asked("loglikelihood_rolling", text)])
    windows.append(total)
    assert math.isfinite(windows[0])
    assert windows[0] != pytest.approx(whole[0])
    with pytest.raises(InputError, match="longer than the model reads"):
        lm.loglikelihood([asked("loglikelihood", "x", text)])
    # A long context loses its beginning, never the continuation.
    assert lm.loglikelihood([asked("loglikelihood", text, " help")])[0][0] < 0


def _write_tasks(folder: Path) -> None:
    rows = [
        {"question": "What is this?", "answer": FINE, "options": [FINE, "cat"], "right": 0},
        {"question": "How do I do this?", "answer": "cat", "options": ["cat", REFUSAL], "right": 1},
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test",
        "doc_to_text": "{{question}}",
    }
    generate = {
        "task": "tiny_generate",
        "output_type": "generate_until",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"max_gen_toks": 60, "until": ["\n\n"], "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    }
    choose = {
        "task": "tiny_choose",
        "output_type": "multiple_choice",
        "doc_to_choice": "{{options}}",
        "doc_to_target": "{{right}}",
        "metric_list": [{"metric": "acc"}],
    }
    for task in (generate, choose):
        path = folder / f"{task['task']}.yaml"
        path.write_text(yaml.safe_dump({**common, **task}, sort_keys=False))


def test_a_local_task_runs_offline_and_scores_answers_alone(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_tasks(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    kept = tmp_path / "traces.jsonl"
    results = simple_evaluate(
        model=ExanteLM(pretrained=str(taught), trace="open", traces=str(kept)),
        tasks=["tiny_generate", "tiny_choose"],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
    )
    assert results is not None
    assert results["results"]["tiny_generate"]["exact_match,none"] == 0.5
    assert results["results"]["tiny_choose"]["acc,none"] in (0.0, 0.5, 1.0)
    samples = {s["doc"]["question"]: s for s in results["samples"]["tiny_generate"]}
    assert samples["How do I do this?"]["filtered_resps"] == [REFUSAL]
    turns = read_jsonl(kept, KeptTurn)
    assert {turn.returned for turn in turns} == {FINE, REFUSAL}
    assert all(turn.trace for turn in turns)


def test_it_is_registered_under_its_name() -> None:
    assert get_model("exante") is ExanteLM
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert points["lm_eval.models"]["exante"] == f"{ExanteLM.__module__}:{ExanteLM.__name__}"


def test_names_for_caches_and_templates(lm: ExanteLM) -> None:
    assert lm.tokenizer_name.startswith("exante-")
    assert lm.chat_template(True) == lm._assistant.chat.tokenizer.chat_template
    assert lm.chat_template(False) is None
    with pytest.raises(InputError, match="one chat template"):
        lm.chat_template("other")
    assert lm._assistant.request(lm._ask("x", "n")).prompt_ids == lm._assistant.chat.prompt_ids(
        [Message(role="user", content="x")]
    )
