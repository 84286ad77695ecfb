"""The card of a run's outcome: what it says, that it cannot be forged, and that its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from tests.finished_run import finished_run
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from exante import rules
from exante.errors import InputError
from exante.models.folders import weights_fingerprint
from exante.stages.card import card_of, write_card


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("card") / "mine")


def test_a_card_says_what_the_model_is_and_what_was_measured(run: Path) -> None:
    text = card_of(run)
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["exante", "safety", "erpo"],
        "base_model": "me/base",
    }
    for said in (
        "(adapted), arXiv 2504.02725",
        rules.load("general").hash[:12],
        weights_fingerprint(run / "taught" / "model")[:12],
        "1,234,567 parameters",
        "random weights",
        "| prompts.jsonl | `" + "cd" * 8 + "` | not known |",
        "| hub:owner/name\\#test | `" + "ef" * 8 + "` | MIT |",
        "## Intended use",
        "## Limits",
    ):
        assert said in body
    rows = {row.split("|")[1].strip(): row for row in body.splitlines() if row.startswith("| ")}
    # A number and its interval, of the start and of the outcome.
    assert len(re.findall(r"\d\s% \(.+?\)", rows["Attack success"])) == 2
    assert {"Over-refusal, look-alikes", "Helpfulness", "Latency overhead"} <= rows.keys()
    assert "Training" not in rows
    assert "/secret" not in text


def test_a_card_tells_nothing_of_the_machine(tmp_path: Path) -> None:
    own = {"model": str(tmp_path / "a" / "base"), "rules": str(tmp_path / "rules.yaml")}
    run = finished_run(tmp_path / "run", **own, teacher="http://10.0.0.1/v1#big|model")
    (run / "base" / "model.json").write_text('{"path": "/elsewhere/a/base"}')
    text = card_of(run)
    assert str(tmp_path) not in text
    assert "10.0.0.1" not in text
    assert "big\\|model behind an endpoint" in text
    assert "base_model" not in text


def test_it_is_written_beside_the_runs_own_model_only(run: Path, tmp_path: Path) -> None:
    before = weights_fingerprint(run / "taught" / "model")
    path = write_card(run)
    assert path == run / "taught" / "model" / "README.md"
    assert path.read_text() == card_of(run)
    assert weights_fingerprint(run / "taught" / "model") == before
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "recipe.yaml").write_text("name: x\noutcome: {of: base}\nsteps: {}\n")
    (other / "base").mkdir()
    (other / "base" / "stage.json").write_text((run / "base" / "stage.json").read_text())
    (other / "base" / "model.json").write_text(f'{{"path": "{run / "taught" / "model"}"}}')
    assert write_card(other) is None
    assert write_card(tmp_path / "nothing") is None


def test_its_example_runs_in_plain_transformers(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", card_of(run), re.DOTALL)
    assert 'prompt += "<think><assess>"' in code
    monkeypatch.chdir(run / "taught" / "model")
    exec(compile(code.replace("max_new_tokens=256", "max_new_tokens=4"), "card", "exec"), {})
    assert capsys.readouterr().out.strip()


# TRL's own settings use a name that transformers is about to drop.
@pytest.mark.filterwarnings("ignore:.gradient_checkpointing. is deprecated:FutureWarning")
def test_the_saved_model_is_trained_on_by_trl(run: Path, tmp_path: Path) -> None:
    folder = run / "taught" / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(tmp_path), max_steps=1, use_cpu=True, report_to="none", bf16=False
        ),
        train_dataset=Dataset.from_list(rows * 4),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    assert trainer.train().global_step == 1


def test_a_folder_that_is_no_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no model"):
        card_of(tmp_path)
    with pytest.raises(InputError, match="is no run folder"):
        card_of(finished_run(tmp_path / "run") / "taught" / "model")
