"""Ways in which files come to be broken: by editors, exports, crashes and people."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_VALUES = (
    *(b"null", b"true", b"-1", b"1e999", b"NaN", b"Infinity", b"[]", b"{}", b'""', b"0.5"),
    *(b'"\\ud800"', b"9" * 400, b'"x"', b"[[[[[[]]]]]]", b"*a", b"&a", b"!!int", b"2023-02-31"),
)
_VALUE = re.compile(rb"""(?<=: )("[^"]*"|[\w.-]+)""")
Mutation = Callable[[bytes, random.Random], bytes]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _other_type(data: bytes, rng: random.Random) -> bytes:
    found = list(_VALUE.finditer(data))
    if not found:
        return data
    left, right = rng.choice(found).span()
    return data[:left] + rng.choice(_VALUES) + data[right:]


def _twice(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    place = rng.randrange(len(lines))
    return b"".join([*lines[: place + 1], *lines[place:]])


def _without_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def _flipped(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _nested(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice((b"[", b"{", b"- ")) * 2000 + data[place:]


def _null(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + b"\0" + data[place:]


def _shuffled(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines[::-1])


def _long(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + b"x" * 50_000 + data[place:]


MUTATIONS: dict[str, Mutation] = {
    "cut off": _cut,
    "another type": _other_type,
    "a line twice": _twice,
    "a line less": _without_line,
    "a byte flipped": _flipped,
    "nested deep": _nested,
    "a null byte": _null,
    "lines shuffled": _shuffled,
    "a long word": _long,
    "a byte-order mark": lambda data, rng: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data, rng: data.decode("utf-8", "replace").encode("utf-16"),
    "lines of Windows": lambda data, rng: data.replace(b"\n", b"\r\n"),
    "tabs": lambda data, rng: data.replace(b"  ", b"\t").replace(b" ", b"\t", 1),
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The data with one to three of them."""
    for _ in range(rng.randint(1, 3)):
        data = MUTATIONS[rng.choice(list(MUTATIONS))](data, rng)
    return data
