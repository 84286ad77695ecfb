"""Malformed inputs that are too large, too deep or too binary for a table."""

from __future__ import annotations

import gzip
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.pages.conftest import synthetic
from tests.tiny import tiny_model


def alias_bomb(path: Path) -> None:
    """Nine lines that stand for a billion values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    path.write_text("\n".join(lines))


def deep_flow(path: Path) -> None:
    path.write_text("a: " + "[" * 1000 + "]" * 1000)


def deep_block(path: Path) -> None:
    path.write_text("".join(f"{' ' * n}a:\n" for n in range(200)))


def large_yaml(path: Path) -> None:
    path.write_text("name: " + "x" * (5 << 20))


def long_number(path: Path) -> None:
    path.write_text("version: " + "9" * 5000)


def deep_json(path: Path) -> None:
    path.write_text('{"prompt": ' + "[" * 100_000)


def long_number_json(path: Path) -> None:
    path.write_text('{"prompt": ' + "9" * 5000 + "}")


def long_line(path: Path) -> None:
    path.write_text('{"prompt": "' + "x" * (10 << 20) + "\n")


def long_kind(path: Path) -> None:
    path.write_text('{"prompt": "a", "kind": "' + "x" * 100_000 + '"}')


def long_key_twice(path: Path) -> None:
    key = "x" * 100_000
    path.write_text(f'{{"prompt": "a", "{key}": 1, "{key}": 2}}')


def open_quote(path: Path) -> None:
    path.write_text('prompt\n"' + "one\n" * 250_000)


def half_gzip(path: Path) -> None:
    whole = gzip.compress(b'{"prompt": "one"}\n' * 999)
    path.write_bytes(whole[: len(whole) // 2])


def bad_gzip(path: Path) -> None:
    whole = bytearray(gzip.compress(b'{"prompt": "one"}\n' * 999))
    whole[20:30] = b"0123456789"
    path.write_bytes(whole)


def half_parquet(path: Path) -> None:
    _parquet(path, {"prompt": ["one", "two"]})
    path.write_bytes(path.read_bytes()[:-20])


def bytes_parquet(path: Path) -> None:
    _parquet(path, {"prompt": [b"\xff\xfe"]})


def broken_text_parquet(path: Path) -> None:
    """A column of texts whose bytes are no UTF-8."""
    _parquet(path, {"prompt": ["one-one-one"]})
    path.write_bytes(path.read_bytes().replace(b"one-one-one", b"one-\xff\xff\xff-one"))


def twice_parquet(path: Path) -> None:
    arrow: Any = import_module("pyarrow")
    _parquet_of(path, arrow.table([["one"], ["two"]], names=["prompt", "prompt"]))


def empty_parquet(path: Path) -> None:
    _parquet(path, {"prompt": []})


def _parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    arrow: Any = import_module("pyarrow")
    _parquet_of(path, arrow.table(columns))


def _parquet_of(path: Path, table: Any) -> None:
    parquet: Any = import_module("pyarrow.parquet")
    parquet.write_table(table, path, compression="none")


def many_columns(path: Path) -> None:
    path.write_text(json.dumps({f"column {number}": number for number in range(3000)}))


def large_severity(path: Path) -> None:
    row = {"prompt": "a", "response_0": "b", "response_1": "c"}
    path.write_text(json.dumps({**row, "response_1_severity_level": 10**400}))


def long_answer(path: Path) -> None:
    path.write_text(json.dumps({"question": "How many?", "answer": "#### " + "9" * 5000}))


def long_schema(path: Path) -> None:
    path.write_text(json.dumps({"schema": "x" * 100_000}))


def linked_results(path: Path) -> None:
    _results(path, files={"Click": "javascript:alert(1)"})


def mistyped_results(path: Path) -> None:
    _results(path, modells={})


def deep_results(path: Path) -> None:
    path.write_text('{"schema": ' + "[" * 100_000)


def model_without_recipe(path: Path) -> None:
    """A finished step with a model, in a run folder."""
    step = path.parent / "taught"
    step.mkdir(parents=True)
    (step / "stage.json").write_text(
        '{"fingerprint": "b", "stage": "sft", "config": {}, "outside": {}, "inputs": {}, '
        '"summary": {}, "record": {"started": "2026"}}'
    )
    tiny_model(step / "model")


def _results(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**synthetic().model_dump(mode="json", by_alias=True), **changes}))


def body(name: str) -> bytes:
    """Bytes that somebody sends: replies of servers, requests, answers of models."""
    return _BODIES[name]()


_BODIES = {
    "long_number": lambda: b'{"model": "m", "seed": ' + b"9" * 5000 + b"}",
    "brackets": lambda: b"[" * 100_000,
    "giant": lambda: b'"' + b"x" * (17 << 20) + b'"',
    "giant_text": lambda: b"x" * (2 << 20),
    "long_field": lambda: b'{"model": "m", "messages": [], "' + b"x" * 1000 + b'": 1}',
    "digits": lambda: b"verdict: complied; score: " + b"4" * 1000,
}
