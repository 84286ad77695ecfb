"""`exante doctor` finds what is wrong, and never shows a secret."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exante.cli import app
from exante.cli.diagnosis import EXTRAS, LOOKS
from exante.models import folders


def test_a_sound_installation_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    # Trying the compiler out takes half a minute, and torch warns of itself.
    monkeypatch.delitem(LOOKS, "devices")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "as built" in result.output
    assert "hf_secret" not in result.output
    assert "HF_TOKEN             set (not shown)" in result.output


def test_every_extra_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    for_contributors = {"dev", "docs", "fuzz"}
    assert EXTRAS.keys() == project["project"]["optional-dependencies"].keys() - for_contributors


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("model.safetensors", b"broken", "cannot be loaded"),
        ("chat_template.jinja", b"", "no chat template"),
        ("chat_template.jinja", b"{{ messages[0].content }}", "not those that were built"),
        ("build.json", b"{}", "sha256"),
    ],
)
def test_a_damaged_miniature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: bytes, told: str
) -> None:
    damaged = shutil.copytree(folders.resolve(folders.MINIATURE), tmp_path / "base")
    (damaged / file).write_bytes(content)
    monkeypatch.setattr(folders, "resolve", lambda name: damaged)
    (found,) = LOOKS["miniature"]()
    assert (found.state, told in found.told) == ("bad", True)
    for name in set(LOOKS) - {"miniature"}:
        monkeypatch.delitem(LOOKS, name)
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 1
