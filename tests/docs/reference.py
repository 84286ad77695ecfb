"""The reference of commands, from their help: `python -m tests.docs.reference` writes the page."""

from __future__ import annotations

import html
import re

from tests.commands import python
from tests.docs.blocks import ROOT
from tests.docs.parsing import leaves

PAGE = "docs/reference/commands.md"
_HEAD = """# Commands

Every command says the same with `--help`. Exit codes: 0 done, 1 failed, 2 bad input or usage.
`exante --install-completion` teaches your shell to complete commands, options, and names of
recipes, judges and the like.
"""


def generated() -> str:
    """The page as it should be."""
    asked = ("-m", "typer", "exante.cli", "utils", "docs", "--name", "exante")
    done = python(*asked, COLUMNS="200")
    done.check_returncode()
    text = html.unescape(done.stdout).split("\n", 1)[1]
    text = text.replace("```console\n$ ", "```text\n")
    text = re.sub(r"^\* `(\S+)`: .*\.\.\.$", _whole, text, flags=re.MULTILINE)
    text = re.sub(r"^(Example: .*\n)+", _fenced, text, flags=re.MULTILINE)
    return _HEAD + text.rstrip("\n") + "\n"


def _whole(line: re.Match[str]) -> str:
    """A line of a list of commands, with the whole sentence."""
    for words, command in leaves().items():
        summary = " ".join((command.help or "").partition("\n\n")[0].split())
        shown = line[0].partition(": ")[2].removesuffix("...").strip()
        if words[-1] == line[1] and summary.startswith(shown):
            return f"* `{line[1]}`: {summary}"
    return line[0]


def _fenced(examples: re.Match[str]) -> str:
    """Examples as blocks, which are carried out with all others."""
    lines = examples[0].replace("Example: ", "").rstrip("\n")
    return f"```bash\n{lines}\n```\n"


if __name__ == "__main__":
    (ROOT / PAGE).write_text(generated(), encoding="utf-8")
