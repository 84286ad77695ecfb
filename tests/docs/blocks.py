"""Fenced blocks of the documentation, and the commands in those of a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL = ("bash", "console")
LANGUAGES = (*SHELL, "python", "yaml", "json", "markdown", "text")
"""A fence names one of these."""
_FENCE = re.compile(r"^(\s*)```(\S*)\s*$")
_BETWEEN = {"&&", ";", "|", "&", "do", "done"}
_COMMENT = re.compile(r"(^|\s)#(\s.*|!.*|SBATCH.*)?$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    page: str
    line: int
    """Of its first line of text, from 1."""
    language: str
    text: str

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        """Its first line, by which a page's table names it."""
        return self.text.partition("\n")[0].strip()


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a shell block, and what the page shows as its output."""

    where: str
    words: tuple[str, ...]
    output: str = ""

    @property
    def text(self) -> str:
        """The command as it stands, by which a page's table names it."""
        return " ".join(self.words)

    @property
    def exante(self) -> tuple[str, ...] | None:
        """The arguments of exante's command line, if it is what is called."""
        if self.words[0] == "exante":
            return self.words[1:]
        for place in range(len(self.words) - 1):
            if self.words[place : place + 2] == ("-m", "exante"):
                return self.words[place + 2 :]
        return None


def pages() -> list[str]:
    """All pages with blocks, as paths from the root."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    found += sorted((ROOT / "docs").rglob("*.md"))
    return [path.relative_to(ROOT).as_posix() for path in found]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    opened: tuple[int, str, str] | None = None
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if opened is None:
            opened = (number, fence[1], fence[2])
            continue
        start, indent, language = opened
        body = "\n".join(part.removeprefix(indent) for part in lines[start : number - 1])
        found.append(Block(page, start + 1, language, body))
        opened = None
    assert opened is None, f"{page}:{opened[0]}: the fence is not closed" if opened else ""
    return found


def indented(page: str) -> list[str]:
    """Blocks that are indented instead of fenced: nobody would check them."""
    found, fenced, before, listed = [], False, "", False
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            if line and not line.startswith(" "):
                listed = re.match(r"([-*]|\d+\.)\s", line) is not None
            if line.startswith("    ") and not before.strip() and not listed:
                found.append(f"{page}:{number}")
        before = line
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a shell block, in order, without the shell around them."""
    if block.language == "bash":
        return [one for line, text in _joined(block) for one in _split(block, line, text, "")]
    found: list[Command] = []
    asked: tuple[int, str] | None = None
    shown: list[str] = []
    for line, text in [*_joined(block), (0, "$ ")]:
        if not text.startswith("$ "):
            shown.append(text)
            continue
        if asked is not None:
            found += _split(block, *asked, "\n".join(shown))
        asked, shown = (line, text.removeprefix("$ ")), []
    return found


def _joined(block: Block) -> Iterator[tuple[int, str]]:
    """Lines with those that a backslash or an open quote continues, and where they begin."""
    start, text = 0, ""
    for number, whole in enumerate(block.text.splitlines(), block.line):
        line = (
            whole if block.language == "console" and whole[:1] != "$" else _COMMENT.sub("", whole)
        )
        start = start if text else number
        text += line
        if line.endswith("\\"):
            text = f"{text[:-1].rstrip()} "
            continue
        if block.language == "bash" and text.count("'") % 2:
            text += " "
            continue
        yield start, text
        text = ""


def _split(block: Block, line: int, text: str, output: str) -> Iterator[Command]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&;|")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _BETWEEN:
            words.append(word)
        elif words:
            yield Command(f"{block.page}:{line}", tuple(words), output)
            if words[-2:-1] == ["-c"]:
                yield from _split(block, line, words[-1], output)
            words = []
