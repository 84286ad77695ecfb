"""Finding the way on the command line: help with examples, completion, and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.commands import python
from tests.docs.parsing import leaves
from typer.testing import CliRunner

from exante.cli import app, completion
from exante.errors import ExanteError

RUN = CliRunner()


def test_every_command_has_help_and_an_example() -> None:
    alone = {path: c for path, c in leaves().items() if not getattr(c, "commands", None)}
    assert [path for path, c in alone.items() if "Example: exante " not in (c.help or "")] == []
    for path, command in alone.items():
        examples = [line for line in (command.help or "").splitlines() if "Example:" in line]
        called = f"exante {' '.join(path)}"
        assert all(called in line for line in examples), path


def test_every_option_says_what_it_is() -> None:
    silent = [
        f"{' '.join(path)} {parameter.name}"
        for path, command in leaves().items()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("align --recipe sa", ["sacpo", "safedpo", "safepatching"]),
        ("align --judge st", ["strings"]),
        ("align --teacher te", ["template"]),
        ("align --rules g", ["general"]),
        ("evaluate --attacks direct,sepa", ["direct,separate"]),
        ("evaluate --suite xs", ["xstest"]),
        ("evaluate mini", ["miniature"]),
        ("data check --format pk", ["pku", "pku_pairs"]),
        ("compare safe", ["safedpo", "safepatching"]),
        ("report r", ["runs/one"]),
        ("ls ju", ["judges"]),
        ("doc", ["doctor"]),
        ("align --unt", ["--until"]),
    ],
)
def test_a_shell_completes_names(
    words: str, offered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "recipe.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    asked = {"_EXANTE_COMPLETE": "complete_bash", "COMP_WORDS": f"exante {words}"}
    asked["COMP_CWORD"] = str(len(words.split()))
    told = RUN.invoke(app, [], prog_name="exante", env=asked)
    assert told.stdout.split() == offered


def test_what_is_completed_is_what_there_is() -> None:
    from exante import recipes

    assert completion.recipes("") == sorted(recipes.built_in())


def test_completing_imports_no_torch() -> None:
    names = [
        "recipes",
        "judges",
        "teachers",
        "rules",
        "attacks",
        "suites",
        "formats",
        "models",
        "things",
    ]
    code = (
        "import sys\nfrom exante.cli import completion\n"
        f"found = [getattr(completion, name)('') for name in {names}]\n"
        "assert all(found)\nsys.exit('torch' in sys.modules)\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


_FILES = {
    "extends.yaml": "name: x\nextends: measurd\nsteps: {}\n",
    "stage.yaml": "name: x\nsteps:\n  taught: {stage: sfft}\n",
    "rules.yaml": "version: 1\nname: x\ncategories:\n"
    "  - {id: A, title: T, definition: d, prohibitd: []}\n",
    "mix.yaml": "portions:\n  - {data: x.csv, lmit: 3}\n",
    "p.jsonl": '{"prompt": "a"}\n',
}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("alin", "align"),
        ("rules shw", "show"),
        ("align --modl x", "--model"),
        ("align --recipe safdpo", "safedpo"),
        ("compare safdpo", "safedpo"),
        ("compare dpo --reference dpp", "dpo"),
        ("cp safdpo x.yaml", "safedpo"),
        ("align --set seeed=1", "seed"),
        ("align --set tought.train.epochs=1", "taught"),
        ("align --set taught.trane.epochs=1", "train"),
        ("align --set taught.train.epoch=1", "epochs"),
        ("align --set tuned.loss.bta=1", "beta"),
        ("align --until tuagt", "taught"),
        ("align --report-to tensorbord", "tensorboard"),
        ("align extends.yaml", "measured"),
        ("align stage.yaml", "sft"),
        ("rules check genral", "general"),
        ("rules check rules.yaml", "prohibited"),
        ("data mix mix.yaml", "limit"),
        ("data check p.jsonl --format promts", "prompts"),
        ("data check p.jsonl --kind harmfull", "harmful"),
        ("data check p.jsonl --prefers safr", "safer"),
        ("ls judge", "judges"),
        ("serve miniature --mode ful", "full"),
        ("evaluate miniature --suite xtest", "xstest"),
        ("evaluate miniature --defence instuction", "instruction"),
        ("judge calibrate --judge stings --test p.jsonl", "strings"),
        ("bench plan 8b --gpu h10", "h100"),
    ],
)
def test_a_typo_is_told_what_was_meant(
    words: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in _FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    told = RUN.invoke(app, words.split(), prog_name="exante", env={"COLUMNS": "200"})
    message = str(told.exception) if isinstance(told.exception, ExanteError) else told.output
    assert told.exit_code != 0
    guesses = (f"did you mean {meant!r}", f"Did you mean {meant!r}", f"Possible options: {meant}")
    assert any(guess in message for guess in guesses), message


def test_names_that_are_loaded_late_are_guessed_as_well() -> None:
    from exante.attacks import load_attack
    from exante.judges import load_judge
    from exante.teachers import load_teacher

    for load, name, meant in (
        (load_judge, "stings", "strings"),
        (load_teacher, "templat", "template"),
        (load_attack, "fictoin", "fiction"),
        (load_attack, "held_outt", "held_out"),
    ):
        with pytest.raises(ExanteError, match=f"did you mean '{meant}'"):
            load(name)
