"""The files for vLLM, without vLLM: the parser stands on stand-ins for its base classes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny import tiny_model

from exante import traces
from exante.cli.serving import serve
from exante.errors import InputError
from exante.models.chat import Chat
from exante.models.load import load_chat
from exante.records import Message
from exante.serving.vllm import PARSER, TEMPLATE, opening_template, write_vllm_files


class Base:
    """What vLLM's base class gives a parser."""

    def __init__(self, tokenizer: Any) -> None:
        self.model_tokenizer = tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("vllm")
    tiny_model(place / "model")
    command = write_vllm_files(place / "model", place / "files", opened=True)
    assert command.startswith(f"vllm serve {place / 'model'} --chat-template ")
    assert command.endswith("--reasoning-parser exante")
    return place


@pytest.fixture(scope="module")
def parser(folder: Path) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield parser_of(folder, monkeypatch)


def parser_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    protocol: Any = ModuleType("vllm.entrypoints.openai.engine.protocol")
    protocol.DeltaMessage = SimpleNamespace
    reasoning: Any = ModuleType("vllm.reasoning")
    reasoning.ReasoningParser = Base
    reasoning.ReasoningParserManager = SimpleNamespace(register_module=lambda _: lambda cls: cls)
    for module in (protocol, reasoning):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("vllm", "vllm.entrypoints", "vllm.entrypoints.openai"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "vllm.entrypoints.openai.engine", ModuleType("engine"))
    spec = importlib.util.spec_from_file_location("exante_reasoning", folder / "files" / PARSER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ExanteReasoningParser(load_chat(folder / "model").tokenizer)


def test_the_template_opens_the_trace_that_the_runtime_opens(folder: Path) -> None:
    chat = load_chat(folder / "model")
    messages = [Message(role="user", content="Hi")]
    forced = chat.prompt_text(messages) + traces.opening()
    chat.tokenizer.chat_template = (folder / "files" / TEMPLATE).read_text()
    assert Chat(chat.tokenizer).prompt_text(messages) == forced


def test_a_template_that_opens_a_trace_itself_is_not_opened_twice(folder: Path) -> None:
    tokenizer = load_chat(folder / "model").tokenizer
    tokenizer.chat_template += "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"
    chat = Chat(tokenizer)
    assert opening_template(chat, opened=False) == tokenizer.chat_template
    asked = [{"role": "user", "content": "Hi"}]
    text = tokenizer.apply_chat_template(
        asked,
        chat_template=opening_template(chat, opened=True),
        tokenize=False,
        add_generation_prompt=True,
    )
    assert text.endswith("Hi<bot><think>\n<assess>")


BODY = "a [M01]</assess><verify>M01.1 violated</verify><calibrate>refuse</calibrate>"


@pytest.mark.parametrize("start", ["", "<think><assess>", "<assess>"])
def test_a_turn_is_split_at_the_closing_tag(parser: Any, start: str) -> None:
    whole = f"{start}{BODY}</think> No."
    assert parser.extract_reasoning(whole, None) == (f"<assess>{BODY}", "No.")
    assert parser.extract_reasoning(f"{start}{BODY}", None) == (f"<assess>{BODY}", None)
    assert parser.extract_reasoning(f"{start}{BODY}</th", None) == (f"<assess>{BODY}</th", None)
    ids = parser.model_tokenizer(whole)["input_ids"]
    assert parser.is_reasoning_end(ids)
    assert not parser.is_reasoning_end(ids[:-5])
    assert parser.model_tokenizer.decode(parser.extract_content_ids(ids)) == " No."


@pytest.mark.parametrize("start", ["", "<think><assess>"])
@given(cuts=st.lists(st.integers(1, 9), min_size=30, max_size=30))
def test_streamed_pieces_join_to_the_whole(parser: Any, start: str, cuts: list[int]) -> None:
    whole = f"{start}{BODY}</think> No, thanks."
    told, place = [], 0
    for size in [*cuts, len(whole)]:
        before, place = whole[:place], place + size
        told.append(parser.extract_reasoning_streaming(before, whole[:place], "", [], [], []))
    assert "".join(d.reasoning or "" for d in told if d) == f"<assess>{BODY}"
    assert "".join(d.content or "" for d in told if d) == "No, thanks."


def test_an_adapter_is_to_be_merged_before(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="exante model merge"):
        serve(str(tmp_path), vllm=tmp_path / "files")
    assert not (tmp_path / "files").exists()
