"""`compare` as a user calls it, on a budget of a few steps: stopped, continued, and read."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.commands import sets
from tests.recipes.fakes import Heard
from tests.tiny import tiny_model
from typer.testing import CliRunner

from exante import recipes
from exante.cli import app
from exante.errors import InputError
from exante.models.adapters import is_adapter
from exante.pages.compared import Compared, Cost
from exante.pages.numbers import Value
from exante.recipes.plan import build, changed
from exante.recipes.run import perform_recipe
from exante.recipes.unite import united
from exante.workflows.comparison import METHODS, comparison_recipe, loaded

RUN = CliRunner()
DOCS = Path(__file__).parents[2] / "docs/compare.md"
FEW = {"harmful": 2, "benign": 2, "borderline": 1, "capability": 1}
SMALL: dict[str, Any] = {
    "training_prompts.limits": FEW,
    "answer_prompts.limits": FEW,
    "answers.sampling.n": 2,
    "evaluation.sampled.sampling.max_new_tokens": 64,
    "suite.limits": {**FEW, "capability": 0},
    "suite.families": ["direct", "role_play", "fiction"],
}
BUDGETS = {"sft_tokens": 2000, "preference_tokens": 1000}


class Stopped(Exception):  # noqa: N818 (no error: what the test asks for)
    """Somebody pulled the plug."""


class Plug(Heard):
    """A listener that stops everything when a step begins."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def started(self, name: str, stage: str) -> None:
        """Stop there."""
        if name == self.at:
            raise Stopped


def documented(folder: Path, name: str, beta: float) -> str:
    """The recipe of the documentation in a file, under another name and with another loss."""
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    document = yaml.safe_load(text)
    document["name"] = name
    document["steps"]["anchored"]["loss"]["beta"] = beta
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return str(path)


def test_the_documented_method_fits_and_is_as_short_as_it_says(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(text.strip().splitlines()) <= 20
    path = tmp_path / "anchored.yaml"
    path.write_text(text)
    recipe = recipes.load(str(path))
    assert recipe.badge == "adapted"
    plan = united({"mine": recipe.raw, "theirs": recipes.load("refusal_sft").raw})
    assert plan.outcomes["mine"]["of"] in plan.steps
    assert "prompts" in plan.steps


def command(names: list[str], out: Path, *more: str) -> list[str]:
    """The comparison of two methods on a small budget."""
    words = ["compare", *names, "--seeds", "1", "--reference", "two", "-o", str(out), *more]
    words += [w for k, v in BUDGETS.items() for w in (f"--{k.replace('_', '-')}", str(v))]
    return [*words, *sets(SMALL)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Compared]:
    """Stopped in front of the second method's training, then continued by the command."""
    folder = tmp_path_factory.mktemp("compare")
    names = [documented(folder, "one", 0.1), documented(folder, "two", 0.9)]
    out = folder / "out"
    plans = loaded(names, BUDGETS, "two")
    document = changed(comparison_recipe(plans, "two"), SMALL, "compare")
    plug = Plug("two_anchored")
    with pytest.raises(Stopped):
        perform_recipe(build(document, "compare"), out / "seed-0", plug)
    before = {name: (out / "seed-0" / name).stat().st_mtime_ns for name, _ in plug.finished_steps}
    alone = RUN.invoke(app, command(names, out, "--only-seed", "0"), catch_exceptions=False)
    assert alone.exit_code == 0, alone.output
    assert "the same command without --only-seed makes the page" in alone.output
    assert [path.name for path in out.iterdir()] == ["seed-0"]
    result = RUN.invoke(app, command(names, out, "--json"), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    after = {name: (out / "seed-0" / name).stat().st_mtime_ns for name in before}
    assert after == before
    return out, list(before), Compared.model_validate_json(result.stdout)


def test_what_methods_share_is_made_once_and_kept(done: tuple[Path, list[str], Compared]) -> None:
    out, before, _ = done
    shared = {"base", "prompts", "training_prompts", "start", "answers", "labelled", "pairs"}
    assert shared | {"one_anchored"} <= set(before)
    made = {path.name for path in (out / "seed-0").iterdir() if path.is_dir()}
    assert {"one_anchored", "two_anchored"} <= made
    assert not {"one_start", "two_start", "one_base", "two_pairs"} & made


def test_every_method_has_its_row_its_test_and_its_cost(
    done: tuple[Path, list[str], Compared],
) -> None:
    out, _, found = done
    assert [row.name for row in found.methods] == ["one", "two"]
    assert (found.base.name, found.reference, found.seeds) == ("base", "two", [0])
    for row in found.methods:
        assert (row.held_out.n, row.direct.n, row.over_refusal.n) == (2, 2, 1)
        assert row.badge == "adapted"
        assert row.training is not None
        assert (row.training.peak_bytes or 0) > 1 << 20
        assert 2500 < row.training.tokens < 4000
    (test,) = found.comparisons
    assert (test.model, test.against) == ("one", "two")
    assert Compared.model_validate_json((out / "compare.json").read_text()) == found
    assert "report.html" in found.reports["0"]
    assert (out / found.reports["0"]).is_file()
    page = (out / "compare.html").read_text()
    assert page.count('<th scope="row">One') >= 2


def test_the_same_command_again_prints_the_table(done: tuple[Path, list[str], Compared]) -> None:
    from exante.cli.table import compared_table

    out, _, found = done
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COLUMNS", "80")
        result = RUN.invoke(_printing(compared_table, found, out))
    for words in ("Held-out", "Over-refusal", "Efficiency", "One", "Two", "Base", "compare.html"):
        assert words in result.output
    assert "…" not in result.output


def test_long_names_and_large_numbers_fit_into_a_plain_terminal(
    done: tuple[Path, list[str], Compared],
) -> None:
    from exante.cli.table import compared_table

    out, _, found = done
    long = {
        "name": "safepatching",
        "tokens": Value(value=118.3, low=113.5, high=118.9, n=2),
        "held_out": Value(value=0.3333, low=0.1111, high=0.5555, n=2),
        "training": Cost(tokens=1.65e6, seconds=773, peak_bytes=1.35e9),
    }
    methods = [found.methods[0].model_copy(update=long), *found.methods[1:]]
    wide = found.model_copy(update={"methods": methods})
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COLUMNS", "80")
        result = RUN.invoke(_printing(compared_table, wide, out))
    for words in ("SafePatching", "Over-refusal", "11.1–55.5", "113.5–118.9", "53"):  # noqa: RUF001
        assert words in result.output
    assert "…" not in result.output


def _printing(table: Any, found: Compared, out: Path) -> Any:
    import typer

    printer = typer.Typer()
    printer.command()(lambda: table(found, out))
    return printer


def test_a_method_that_comes_later_makes_its_own_steps_and_a_new_report(
    done: tuple[Path, list[str], Compared], tmp_path: Path
) -> None:
    folder, out = done[0].parent, shutil.copytree(done[0], tmp_path / "out")
    run = out / "seed-0"
    before = {path: path.stat().st_mtime_ns for path in run.glob("*/stage.json")}
    names = [str(folder / "one.yaml"), documented(tmp_path, "late", 0.9), str(folder / "two.yaml")]
    result = RUN.invoke(app, command(names, out, "--json"), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = Compared.model_validate_json(result.stdout)
    assert [row.name for row in found.methods] == ["one", "late", "two"]
    by_name = {row.name: row for row in found.methods}
    # What the second method had made alone is what the third one shares with it.
    assert by_name["late"].held_out == by_name["two"].held_out
    made = {
        path for path in run.glob("*/stage.json") if before.get(path) != path.stat().st_mtime_ns
    }
    assert {path.parent.name for path in made} == {
        "report",
        "evaluation.late.sampled",
        "evaluation.late.judged",
    }
    assert "late" in (run / "report.html").read_text()


def test_adapters_are_trained_instead_of_all_weights_where_asked_for(tmp_path: Path) -> None:
    """As `align --lora`, for every method: a tiny model of the user's, and one training."""
    words = ["compare", "refusal_sft", "--reference", "refusal_sft", "--seeds", "1", "--json"]
    words += ["--model", str(tiny_model(tmp_path / "tiny")), "--lora", "4"]
    words += ["--sft-tokens", "1000", "-o", str(tmp_path / "out")]
    small = {k: v for k, v in SMALL.items() if not k.startswith("answer")}
    small["evaluation.sampled.sampling.max_new_tokens"] = 4
    words += sets(small)
    result = RUN.invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = Compared.model_validate_json(result.stdout)
    assert found.settings["lora"] == "rank 4"
    (model,) = (tmp_path / "out/seed-0").glob("*/model")
    assert is_adapter(model)
    assert json.loads((model / "adapter_config.json").read_text())["r"] == 4


def test_mistakes_are_named_before_anything_runs(tmp_path: Path) -> None:
    one = documented(tmp_path, "one", 0.1)
    wrong = RUN.invoke(app, command([one], tmp_path / "out", "--only-seed", "1"))
    assert (wrong.exit_code, str(wrong.exception)[:34]) == (
        1,
        "only_seed=1: is none of the seeds\n",
    )
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=r"unknown method 'erpp'\n.*known: one, refusal_sft"):
        loaded([one, "refusal_sft"], {}, "erpp")
    with pytest.raises(InputError, match="another method or step is called one"):
        loaded([one, one], {}, "one")
    path = Path(documented(tmp_path, "odd", 0.1))
    document = yaml.safe_load(path.read_text())
    document["steps"]["prompts"] = {"seed": 7}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.raises(InputError, match="odd: does not share the step prompts"):
        comparison_recipe(loaded(["refusal_sft", one, str(path)], {}, "one"), "one")


def test_the_default_methods_and_baselines_without_training_fit_into_one_plan() -> None:
    names = (*METHODS, "rules_prompt", "trace_off")
    document = comparison_recipe(loaded(names, {}, "erpo"), "erpo")
    steps = [name for name, _ in recipes.steps_of(build(document, "compare"))]
    for shared in ("base", "prompts", "refusals", "start", "labelled"):
        assert shared in steps
        assert not {f"{method}_{shared}" for method in names} & set(steps)
    assert set(document["steps"]["evaluation"]["each"]) == {"base", *names}
    assert document["steps"]["evaluation"]["each"]["trace_off"]["trace"] == "closed"


def test_recipes_are_listed_with_badges_and_shared_beginnings_are_not() -> None:
    rows = json.loads(RUN.invoke(app, ["recipes", "--json"]).stdout)
    assert {frozenset(row) for row in rows} == {frozenset(("name", "badge", "paper", "summary"))}
    names = {row["name"] for row in rows}
    assert {"erpo", "refusal_sft"} <= names
    assert not {"labelled", "measured"} & names
    assert "adapted" in RUN.invoke(app, ["recipes"]).stdout
