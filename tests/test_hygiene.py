"""House rules that linters do not know: budgets, dead settings, where frameworks are used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "exante"
MODULES = sorted(SOURCE.rglob("*.py"))
FILE_LINES, FUNCTION_LINES = 400, 50
MODEL_LIBRARIES = {"accelerate", "peft", "tokenizers", "transformers"}
RUN_WHAT_THEY_READ = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
RUN_CODE = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load"}
PLAIN_YAML = {"yaml.safe_load", "yaml.safe_dump", "yaml.compose"}
MAY_USE_MODELS = (
    "bench/sample_generate_arm",
    "bench/trl_arm",
    "bench/weights",
    "models/",
    "training/",
    "miniature/build",
)


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def over_budget(source: str) -> list[str]:
    """Names of functions that are too long, decorators not counted."""
    functions = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > FUNCTION_LINES]


def settings_fields(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Class and field of all settings declared in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Settings", "Config")):
            for part in node.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    yield node.name, part.target.id


def read_names(tree: ast.Module) -> set[str]:
    """Attributes that a module reads, on whatever object."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def imported_packages(tree: ast.Module) -> set[str]:
    """Top-level names of everything imported in a module, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_and_functions_keep_to_their_budget(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= FILE_LINES
    assert over_budget(source) == []


def test_the_budget_counts_whole_functions() -> None:
    line = "    x = 1\n"
    assert over_budget("def long():\n" + line * FUNCTION_LINES) == ["long"]
    assert over_budget("def fits():\n" + line * (FUNCTION_LINES - 1)) == []


def test_every_setting_is_read_somewhere() -> None:
    """A knob that turns nothing misleads; a stage may hand its settings on only by reading them."""
    trees = [tree_of(path) for path in MODULES]
    read = set().union(*map(read_names, trees))
    declared = [field for tree in trees for field in settings_fields(tree)]
    assert declared, "no settings found: has the naming changed?"
    assert [f"{owner}.{field}" for owner, field in declared if field not in read] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_model_libraries_stay_where_models_are_made(path: Path) -> None:
    if not name_of(path).startswith(MAY_USE_MODELS):
        assert imported_packages(tree_of(path)) & MODEL_LIBRARIES == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Every call with what is called, as `yaml.load` or `eval`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def unsafe_calls(source: str) -> list[str]:
    """What runs code that is read from somewhere, or hands text to a shell."""
    tree = ast.parse(source)
    found = [name for name in imported_packages(tree) if name in RUN_WHAT_THEY_READ]
    for name, call in calls(tree):
        options = {key.arg: ast.unparse(key.value) for key in call.keywords}
        bad = name in RUN_CODE or name.startswith("yaml.") and name not in PLAIN_YAML
        bad |= options.get("shell", "False") != "False"
        bad |= options.get("trust_remote_code", "False") != "False"
        bad |= name == "torch.load" and options.get("weights_only") != "True"
        bad |= name.endswith("np.load") and options.get("allow_pickle", "False") != "False"
        bad |= options.get("weights_only", "True") != "True"
        if bad:
            found.append(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_that_is_read_is_run(path: Path) -> None:
    assert unsafe_calls(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "exec(text)",
        "os.system(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "subprocess.run(text, shell=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "AutoModel.from_pretrained(path, trust_remote_code=chosen)",
    ],
)
def test_the_search_for_what_is_run_finds_it(line: str) -> None:
    assert unsafe_calls(line)


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("cli/")], ids=name_of)
def test_commands_print_by_the_terminal_only(path: Path) -> None:
    if name_of(path) != "cli/terminal.py":
        tree = tree_of(path)
        used = {name for name, _ in calls(tree)}
        assert used & {"print", "typer.echo", "typer.secho", "Console", "Text"} == set()
        assert not re.search(r"sys\.std(out|err)\.write", path.read_text(encoding="utf-8"))


def test_there_is_one_constraint_per_package_and_no_local_build() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
    names = [line.partition("==")[0].lower() for line in lines]
    assert all(before < after for before, after in pairwise(sorted(names)))
    assert "torch==2.13.0" in lines
