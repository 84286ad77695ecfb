"""The lm-eval model `exante`: capability benchmarks see the answer, and never the trace.

    python -m exante.integrations.lmeval --model exante --model_args pretrained=FOLDER --tasks NAME

Generation is what the assistant says: each context is a user's message, or, with
`--apply_chat_template`, a whole chat. Likelihoods are those of the text as it is, or of the start
of an assistant's turn without reasoning where a chat template was asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from exante.errors import InputError
from exante.integrations.assistant import Ask, Assistant, Turn, cut
from exante.models.devices import default_device
from exante.models.likelihood import Row, likelihoods
from exante.models.sample import SamplingSettings
from exante.records import Message, Record

_CHAT = "exante-chat:"
"""In front of a chat that is handed through lm-eval as text; lm-eval knows strings only."""
_MOST_TOKENS = 256
_TRACE_TOKENS = 192

_UNKNOWN = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Settings of sampling that our sampler does not have, with the value that means nothing."""

_log = logging.getLogger(__name__)


class KeptTurn(Record):
    """What lm-eval has no place for: one generation with its trace."""

    prompt: str
    """Text of the last message."""
    trace: str | None
    answer: str | None
    returned: str
    """What the benchmark saw."""
    finish: str
    trace_tokens: int
    answer_tokens: int


@register_model("exante")
class ExanteLM(LM):
    """Answers lm-eval with our sampler; greedy unless a task asks for a temperature."""

    def __init__(
        self,
        pretrained: str,
        trace: str = "auto",
        trace_tokens: int = _TRACE_TOKENS,
        traces: str | None = None,
        device: str | None = None,
        batch_size: int | str = "auto",
        max_batch_size: int | None = None,
    ) -> None:
        """Load a model folder, a run's last model, `miniature`, or a hub id.

        `trace` is open, free or auto; `trace_tokens` is what a trace may take beside the task's own
        limit on the answer; `traces` is a JSON Lines file that keeps every turn with its trace.

        Raises:
            InputError: there is no such model.
        """
        super().__init__()
        self._assistant = Assistant(pretrained, trace=trace, device=_there(device))
        self._extra = trace_tokens if self._assistant.opens else 0
        self._file = Path(traces) if traces else None
        if self._file is not None:
            self._file.write_text("", encoding="utf-8")
        # 1 is what lm-eval asks for when nobody asked; the sampler finds out what fits.
        rows = int(batch_size) if str(batch_size).isdecimal() else 1
        self._rows = rows if rows > 1 else None
        del max_batch_size  # lm-eval always gives it
        self.turns: list[KeptTurn] = []
        """Every generation so far, traces included."""

    @property
    def tokenizer_name(self) -> str:
        """Names the rendering of chats in lm-eval's caches."""
        return f"exante-{self._assistant.fingerprint[:16]}"

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The model's own template, for lm-eval's record; another one cannot be asked for."""
        if isinstance(chat_template, str) and chat_template:
            raise InputError("exante models have one chat template", fix="give no template name")
        return str(self._assistant.chat.tokenizer.chat_template) if chat_template else None

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The chat as a text that the methods below read back; rendering is theirs.

        Without a generation prompt, a last message of the assistant is the start of its turn.
        """
        turns = [{"role": m["role"], "content": m["content"]} for m in chat_history]
        return _CHAT + json.dumps({"turns": turns, "open": not add_generation_prompt})

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The answers alone; empty where a turn was cut at its limit or its trace never ended."""
        del disable_tqdm
        asked = [(*r.args, i) for i, r in enumerate(requests)]
        answers: dict[int, str] = {}
        groups: dict[SamplingSettings, list[tuple[Ask, dict[str, Any], int]]] = {}
        for context, options, index in asked:
            ask = self._ask(context, str(index))
            groups.setdefault(self._settings(options, ask), []).append((ask, options, index))
        for settings, members in groups.items():
            turns = self._assistant.answer([ask for ask, _, _ in members], settings)
            for (ask, options, index), (turn,) in zip(members, turns, strict=True):
                answers[index] = self._returned(ask, turn, _stops(options))
                self.cache_hook.add_partial("generate_until", requests[index].args, answers[index])
        self._warn_of_empty(answers)
        return [answers[index] for index in range(len(requests))]

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Summed log-prob in nats of each continuation, and whether it is the greedy one."""
        del disable_tqdm
        found = self._likelihoods([self._row(*request.args) for request in requests])
        for request, value in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, value)
        return found

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-prob in nats of each whole text, in disjoint windows as long as the model reads."""
        del disable_tqdm
        rows: list[Row] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            windows = get_rolling_token_windows(
                token_list=list(self._assistant.chat.encode(request.args[0])),
                prefix_token=self._first,
                max_seq_len=min(self._assistant.limit, 1 << 20),
                context_len=1,
            )
            pairs = [make_disjoint_window(window) for window in windows]
            rows += pairs
            owners += [owner] * len(pairs)
        totals = [0.0] * len(requests)
        for owner, (value, _) in zip(owners, self._likelihoods(rows), strict=True):
            totals[owner] += value
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    @property
    def _first(self) -> int:
        """What stands in front of a text: BOS, or where there is none, the end of a turn."""
        bos = self._assistant.chat.tokenizer.bos_token_id
        return self._assistant.chat.eos_id if bos is None else int(bos)

    def _ask(self, context: str, name: str) -> Ask:
        if not context.startswith(_CHAT):
            return Ask(name, (Message(role="user", content=context),))
        chat = json.loads(context.removeprefix(_CHAT))
        messages = [Message(role=t["role"], content=t["content"]) for t in chat["turns"]]
        if chat["open"] and messages[-1].role == "assistant":
            return Ask(name, tuple(messages[:-1]), messages[-1].content)
        return Ask(name, tuple(messages))

    def _settings(self, options: dict[str, Any], ask: Ask) -> SamplingSettings:
        most = int(options.get("max_gen_toks", _MOST_TOKENS)) + self._extra
        sampling = bool(options.get("do_sample", True))
        temperature = float(options.get("temperature") or 0.0) if sampling else 0.0
        asked = [
            name for name, off in _UNKNOWN.items() if options.get(name, off) not in (off, None)
        ]
        if temperature > 0 and asked:
            raise InputError(
                f"exante does not sample with {', '.join(asked)}",
                fix="leave them out of the task, or take --gen_kwargs do_sample=False",
            )
        return SamplingSettings(
            max_new_tokens=max(1, min(most, self._assistant.room(ask))),
            temperature=temperature,
            batch_size=self._rows,
        )

    def _returned(self, ask: Ask, turn: Turn, stops: Sequence[str]) -> str:
        written, stopped = cut(turn.written, stops)
        returned = written if turn.finish == "stop" or stopped else ""
        kept = KeptTurn(
            prompt=ask.messages[-1].content,
            trace=turn.trace,
            answer=turn.answer,
            returned=returned,
            finish=turn.finish,
            trace_tokens=turn.trace_tokens,
            answer_tokens=turn.answer_tokens,
        )
        self.turns.append(kept)
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(kept.model_dump_json() + "\n")
        return returned

    def _warn_of_empty(self, answers: dict[int, str]) -> None:
        empty = sum(not answer for answer in answers.values())
        if empty:
            _log.warning(
                "%d of %d turns gave no answer: cut at the limit, or the trace never ended; "
                "raise max_gen_toks or trace_tokens",
                empty,
                len(answers),
            )

    def _row(self, context: str, continuation: str) -> Row:
        """Token ids of context and continuation; at its left end, a context may be cut."""
        chat = self._assistant.chat
        if context.startswith(_CHAT):
            ask = self._ask(context, "")
            before = (*chat.prompt_ids(ask.messages), *chat.encode(ask.prefill))
            after = chat.encode(continuation)
        else:
            # A space at the end belongs to the next word, as the tokenizer sees it.
            start = context.rstrip()
            whole, before = chat.encode(context + continuation), chat.encode(start)
            after = whole[len(before) :]
            begin = chat.tokenizer.bos_token_id is not None or not before
            before = (self._first, *before) if begin else before
        room = self._assistant.limit - len(after)
        if room < 1:
            raise InputError(
                f"a continuation of {len(after)} tokens is longer than the model reads",
                fix="leave this task out",
            )
        return before[-room:], after

    def _likelihoods(self, rows: Sequence[Row]) -> list[tuple[float, bool]]:
        assistant = self._assistant
        return likelihoods(assistant.model, rows, pad_id=assistant.chat.pad_id)


def _there(device: str | None) -> str | None:
    """lm-eval asks for `cuda:0` when nobody asked for anything; None takes what there is."""
    return None if device and device.startswith("cuda") and default_device() == "cpu" else device


def _stops(options: dict[str, Any]) -> list[str]:
    """Stop strings of a task: none, one, or several."""
    found = options.get("until") or []
    return [found] if isinstance(found, str) else list(found)


def main() -> None:
    """lm-eval's own command line, with the model `exante` known to it."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
