"""Names, addresses, and what is said when neither leads anywhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from exante import plugins
from exante.errors import InputError

TABLE = {"join": "os.path:join", "gone": "exante.no_such_module:Thing"}


def test_a_name_of_the_table() -> None:
    assert plugins.load(TABLE, "join", "function")("a", "b") == str(Path("a") / "b")


def test_an_address_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_for_plugins.py").write_text("class Outer:\n    inner = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.load(TABLE, "mine_for_plugins:Outer.inner", "number") == 7


def test_a_table_imports_nothing_by_itself() -> None:
    sys.modules.pop("this", None)
    plugins.load({"zen": "this:s", "join": "os.path:join"}, "join", "text")
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("jion", "unknown function 'jion'"),
        ("gone", "cannot be imported"),
        ("no_such_package:f", "cannot be imported"),
        ("os.path:no_such", "os.path has no 'no_such'"),
        ("os.path:", "os.path has no ''"),
        (":f", "names no module"),
        (".relative:f", "names no module"),
    ],
)
def test_what_cannot_be_found_is_the_users_mistake(name: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        plugins.load(TABLE, name, "function")
    assert says in str(caught.value)
    assert caught.value.fix
