"""The file that says how servers are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from exante.errors import InputError
from exante.models.servers import SERVERS, ServerSettings, settings_for


def written(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = folder / "servers.yaml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv(SERVERS, str(file))
    return file


def test_a_model_goes_before_its_server_and_that_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SERVERS, raising=False)
    assert settings_for("http://h/v1#m") == ServerSettings()
    written("http://h/v1: {at_once: 2}\nhttp://h/v1#m: {at_once: 3}\n", tmp_path, monkeypatch)
    assert settings_for("http://h/v1#m").at_once == 3
    assert settings_for("http://h/v1#n").at_once == 2
    assert settings_for("http://g/v1#m").at_once == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://h/v1: {at_once: 0}", "http://h/v1.at_once"),
        ("http://h/v1: {api_key: word}", "http://h/v1.api_key"),
        ("- a", "holds no mapping"),
        ("a: [", "servers.yaml:1: is no YAML"),
    ],
)
def test_what_does_not_fit_is_located_and_not_repeated(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(text, tmp_path, monkeypatch)
    with pytest.raises(InputError, match=message) as caught:
        settings_for("http://h/v1#m")
    assert "word" not in str(caught.value)


def test_a_file_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVERS, "nowhere.yaml")
    with pytest.raises(InputError, match=r"nowhere\.yaml: cannot be read"):
        settings_for("http://h/v1#m")
