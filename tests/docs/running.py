"""Blocks of the documentation carried out: commands, Python, and files by their loaders."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.commands import one_command
from tests.docs import parsing, stand_ins
from tests.docs.blocks import ROOT, SHELL, Block, Command, blocks, commands
from tests.docs.ways import HUB, PAGES, SMALL, Page, at

from exante import recipes
from exante.cli import main


class PlannedError(BaseException):
    """Everything up to the first step was done; no error, so that nothing reports it as one."""


def settle(page: Page, found: list[Block], folder: Path, models: Path, run: Path) -> None:
    """Put into the folder what the page presumes, and those of its blocks that are files."""
    (folder / "models").symlink_to(models)
    for block in found:
        name = at(page.saves, block.text)
        if name is not None:
            (folder / name).write_text(page.changed(block.text) + "\n", encoding="utf-8")
    for name, model in page.links.items():
        (folder / name).symlink_to(models / model)
    for name in page.files:
        stand_ins.write(folder, name)
    for name in page.runs:
        shutil.copytree(run, folder / name)


def perform(block: Block, page: Page, names: dict[str, Any]) -> None:
    """Carry a block out in the current folder; Python finds `names`."""
    if at(page.unread, block.text) is not None:
        return
    if block.language in SHELL:
        for command in commands(block):
            run(command, page)
    elif block.language == "python":
        exec(
            compile(page.changed(block.text), block.where, "exec"),
            {"__name__": "__docs__", **names},
        )
    elif block.language == "yaml":
        check_yaml(block)
    elif block.language == "json":
        check_json(block)
    elif block.language == "text":
        check_text(block)


def run(command: Command, page: Page) -> None:
    """Run a command, or as much of it as its way allows."""
    words = command.exante
    way = at(page.ways, command.text) or page.otherwise
    if words is None:
        check_other(command)
        return
    words = tuple(_filled(word, page) for word in words)
    if command.words[:2] == ("accelerate", "launch"):
        check_other(command)
    parsing.check(words)
    if way.parsed:
        return
    for path in way.fresh:
        shutil.rmtree(path, ignore_errors=True)
    words = tuple(way.swap.get(word, HUB.get(word, word)) for word in words)
    name = next((word for word in words if word in SMALL), "")
    added = way.add or (() if way.planned else SMALL.get(name, ()))
    told = invoked((*words, *added), planned=bool(way.planned))
    assert told.code == way.code, f"{command.where}: {' '.join(words)}\n{told.text[-3000:]}"
    if not way.differs and not way.planned:
        check_shown(command, told.text)


class Told:
    """What a command said, and its exit code."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text


def invoked(words: Sequence[str], *, planned: bool = False) -> Told:
    """The command line in this process, as if it were typed; nobody types anything more."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(sys, "argv", ["exante", *words])
        patch.setattr(sys, "stdin", io.StringIO())
        patch.setenv("COLUMNS", "200")
        # Trying the compiler out takes half a minute; tests/models has it.
        patch.setattr("exante.models.compiled.compiler_works", lambda device: True)
        # A server does not end by itself.
        patch.setattr("exante.serving.server.serve", _planned)
        if planned:
            patch.setattr("exante.recipes.perform_recipe", _planned)
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(out))
        stack.enter_context(one_command())
        try:
            main()
        except SystemExit as end:
            return Told(int(end.code or 0), out.getvalue())
        except PlannedError:
            assert planned, f"{' '.join(words)}: it serves until it is stopped; say `planned`"
            return Told(0, out.getvalue())
    assert not planned, f"{' '.join(words)}: did not come to its first step"
    return Told(0, out.getvalue())


def _planned(*_: Any, **__: Any) -> None:
    raise PlannedError


def _filled(word: str, page: Page) -> str:
    for name, value in page.variables.items():
        word = word.replace(f"${name}", value)
    return word


def check_shown(command: Command, text: str) -> None:
    """Lines of the page's output that hold no number and no path stand in what was said."""
    said = " ".join(text.split())
    for line in command.output.splitlines():
        shown = " ".join(line.split())
        if shown and "..." not in shown and not any(c.isdigit() or c in "/[" for c in shown):
            assert shown in said, f"{command.where}: {line!r} is not said any more:\n{text[-2000:]}"


def check_other(command: Command) -> None:
    """A program that is not ours: what it is given of ours exists.

    Raises:
        AssertionError: the program is not known here.
    """
    words = command.words
    if re.fullmatch(r"\w+=.*", words[0]):
        return  # a variable of the shell's
    if words[0] == "make":
        asked = ["make", "--dry-run", "--makefile", str(ROOT / "Makefile"), *words[1:]]
        done = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, f"{command.where}: {done.stderr}"
    elif words[:2] == ("accelerate", "launch"):
        from accelerate.commands.launch import launch_command_parser

        # What the shell would put in: numbers of machines and processes.
        told = ["1" if "$" in word else word for word in words[2:]]
        given = launch_command_parser().parse_args(told)
        assert Path(given.config_file).suffix == ".yaml"
    elif words[:2] == ("pip", "install"):
        assert words[2:] in {(f"exante[{extra}]",) for extra in _extras()}, command.where
    else:
        known = OTHER.get(words[0]) or OTHER.get(" ".join(words[:3]))
        assert known, f"{command.where}: say in OTHER why {words[0]} is not run"


OTHER = {
    "open": "it opens a browser",
    "for": "the shell's",
    "export": "the shell's; blocks name the variable",
    "head": "part of the line for SLURM",
    "ls": "the shell's",
    "cat": "the shell's",
    "curl": "it asks a server; tests/serving asks the same",
    "python client.py": "tests/serving/test_docs.py runs it",
    "inspect": "an extra; tests/integrations runs what it asks of us",
    "python -m exante.integrations.lmeval": "an extra; tests/integrations runs it",
    "python -m garak": "it needs an environment of its own",
    "python -m venv": "it makes an environment of its own",
    "vllm-env/bin/pip": "it needs a GPU",
    "vllm": "it needs a GPU",
    "srun": "it needs a cluster; the command inside is checked",
    "tensorboard": "it serves until it is stopped",
}
"""Programs of others, and why they are not run."""


def _extras() -> list[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"])


def check_yaml(block: Block) -> None:
    """A YAML block by the loader of what it is.

    Raises:
        AssertionError: it is none of the kinds that exante reads.
    """
    found = yaml.safe_load(block.text)
    path = Path("block.yaml")
    path.write_text(block.text, encoding="utf-8")
    if isinstance(found, list):
        _check_rules({"version": 1, "name": "part", "categories": found}, path)
    elif "portions" in found:
        from exante.stages.mix import portions_of

        assert portions_of(str(path), {})
    elif "steps" in found:
        recipes.load(str(path))
    elif "categories" in found:
        _check_rules({"version": 1, "name": "part", **found}, path)
    elif "distributed_type" in found:
        from accelerate.commands.config.config_args import load_config_from_file

        assert load_config_from_file(str(path)).distributed_type
    elif all(str(key).startswith("http") for key in found):
        from exante.models.servers import SERVERS, ServerSettings, settings_for

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(SERVERS, str(path))
            assert all(settings_for(name) != ServerSettings() for name in found)
    else:
        # A part of a recipe: it reads steps that stand elsewhere.
        names = {name for step in found.values() for name in step.values() if isinstance(name, str)}
        recipes.plan.build({"name": "part", "steps": found}, block.where, names)


def _check_rules(found: dict[str, Any], path: Path) -> None:
    from exante import rules

    path.write_text(yaml.safe_dump(found), encoding="utf-8")
    assert rules.load(str(path)).clause_ids()


def check_json(block: Block) -> None:
    """One document, or one on each line."""
    try:
        json.loads(block.text)
    except ValueError:
        assert [json.loads(line) for line in block.text.splitlines()]


def check_text(block: Block) -> None:
    """A block of text is a turn with its trace, or listed as unread."""
    from exante.traces import parse

    assert block.first.startswith("<think>"), (
        f"{block.where}: give the block a language, or say in ways.py why nothing can check it"
    )
    trace = parse(block.text.replace("\n", "")).trace
    assert trace is not None, f"{block.where}: the trace does not parse"


def unused(page: str) -> list[str]:
    """What a page's table says of things that do not stand on the page."""
    known, found = PAGES[page], blocks(page)
    asked = [c.text for b in found if b.language in SHELL for c in commands(b)]
    texts = [block.text for block in found]
    said = [(key, texts) for key in (*known.saves, *known.unread)]
    said += [(key, asked) for key in known.ways]
    gone = [key for key, there in said if not any(text.startswith(key) for text in there)]
    return gone + [key for key in known.swap if not any(key in text for text in texts)]


__all__ = ["PAGES", "invoked", "unused", "perform", "settle"]
