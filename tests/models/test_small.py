"""A small model stands for a large one: same words, same template, trained by the same stages."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.families import FAMILIES, family_model
from typer.testing import CliRunner

from exante.cli import app
from exante.errors import InputError
from exante.models.load import load_chat, load_model
from exante.models.sample import SamplingSettings, sample
from exante.models.small import shrink
from exante.records import Example, Message
from exante.stages.sample import request_of


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_small_one_that_reads_the_same(name: str, tmp_path: Path) -> None:
    large = family_model(tmp_path / "large", name, rows=7)
    (large / "model.safetensors").unlink()
    shrink(large, tmp_path / "small")
    before, after = load_chat(large), load_chat(tmp_path / "small")
    asked = Example(id="a", kind="benign", messages=(Message(role="user", content="How?"),))
    request = request_of(asked, after, "open")
    assert request == request_of(asked, before, "open")
    assert after.stop_ids == before.stop_ids
    model = load_model(tmp_path / "small")
    (turn,) = sample(model, after, [request], SamplingSettings(max_new_tokens=3))
    assert turn.token_ids[: len(request.forced_ids)] == request.forced_ids


def test_what_cannot_be_shrunk_is_told(tmp_path: Path) -> None:
    large = family_model(tmp_path / "large", "qwen3")
    with pytest.raises(InputError, match="holds something already"):
        shrink(large, large)
    (large / "config.json").write_text('{"model_type": "no-such-thing"}')
    result = CliRunner().invoke(app, ["model", "shrink", str(large), "-o", str(tmp_path / "x")])
    assert isinstance(result.exception, InputError)
