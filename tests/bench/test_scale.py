"""The plan on paper: numbers worked out by hand, published sizes, and what the docs say of it."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest
from transformers import AutoConfig
from typer.testing import CliRunner

from exante.bench import scale
from exante.bench.floor import Work
from exante.bench.scale import (
    GPUS,
    SHAPES,
    Load,
    Reached,
    decoding_rate,
    fewest_gpus,
    parameters,
    plan,
    replica,
    rows_work,
    scoring_flops,
    shape_of,
    sizes,
    training_bytes,
    training_flops,
)
from exante.bench.scale_points import _point
from exante.bench.spec import Shape
from exante.bench.weights import save_random_model
from exante.cli import app
from exante.errors import InputError
from exante.models import footprint
from exante.models.check import check_model
from exante.models.shapes import empty_model
from exante.models.shapes import shape_of as memory_shape
from exante.workflows import checking

DOCS = Path(__file__).parents[2] / "docs/scaling.md"
TINY = Shape(
    layers=2, hidden=32, heads=2, key_value_heads=1, intermediate=64, vocabulary=128, tied=False
)


def test_parameters_are_those_of_the_published_models() -> None:
    assert parameters(SHAPES["8b"]) == 8_030_261_248
    assert parameters(SHAPES["70b"]) == 70_553_706_496


def test_parameters_by_hand() -> None:
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64 + 2 * 32
    assert parameters(TINY) == 2 * layer + 32 + 2 * 128 * 32
    assert parameters(TINY.model_copy(update={"tied": True})) == 2 * layer + 32 + 128 * 32


def test_heads_may_be_wider_than_the_model() -> None:
    wide = TINY.model_copy(update={"head_size": 32})
    assert parameters(wide) - parameters(TINY) == 2 * (2 * 32 * 32 + 2 * 32 * 16)


def test_a_forward_pass_is_a_third_and_recomputing_adds_the_layers() -> None:
    work = rows_work(10, 4, 6)
    assert (work.run, work.scored) == (10 * (4 + 5), 60)
    whole = training_flops(TINY, work, recomputed=False)
    forward = scoring_flops(TINY, work)
    assert whole == pytest.approx(3 * forward)
    head = 2 * 32 * 128 * 60
    again = training_flops(TINY, work, recomputed=True)
    assert again - whole == pytest.approx(forward - head)


def test_a_token_takes_two_flops_per_parameter_that_it_meets() -> None:
    shape = SHAPES["70b"]
    flops = scoring_flops(shape, Work(1, 1, 0))
    assert flops == pytest.approx(2 * parameters(shape), rel=0.02)


def test_a_plan_for_one_device_is_the_footprint(tmp_path: Path) -> None:
    """`bench plan` and `model check` say the same of one GPU, whatever way the shape came in."""
    model = tmp_path / "model"
    save_random_model(model, TINY, seed=0)
    config = AutoConfig.from_pretrained(model)
    assert sizes(TINY) == memory_shape(empty_model(config))
    alone = footprint.training(sizes(TINY), "cuda", tokens=4096).total
    assert training_bytes(sizes(TINY), 4096, 1) == alone
    shown = CliRunner().invoke(app, ["bench", "plan", str(model), "--tokens", "4096"])
    assert f"training on one GPU: {alone / 1e9:.0f} of 80 GB\n" in shown.stdout
    need = checking.Need("sft", "train", 1, 10**6, batch_tokens=4096)
    (found,) = [
        row
        for row in checking.memory_of(check_model(model), [need], 4095)
        if (row["device"], row["of"]) == ("cuda", "all weights")
    ]
    assert found["total"] == alone


def test_more_gpus_hold_more() -> None:
    held, gpu = sizes(SHAPES["70b"]), GPUS["h100"]
    count = fewest_gpus(held, gpu, 8192)
    assert training_bytes(held, 8192, count) <= 0.9 * gpu.memory
    assert training_bytes(held, 8192, count - 8) > 0.9 * gpu.memory
    assert fewest_gpus(sizes(TINY), gpu, 8192) == 1
    with pytest.raises(InputError, match="fit into no number"):
        fewest_gpus(held, gpu, 10**7)


def test_sampling_reads_weights_and_keys() -> None:
    shape, gpu = SHAPES["8b"], GPUS["h100"]
    assert replica(shape, gpu) == 1
    assert replica(SHAPES["70b"], gpu) == 4
    keys = 256 * 2 * 2 * 32 * 1024 * 400
    seconds = (2 * parameters(shape) + keys) / (gpu.bandwidth * 0.5)
    assert decoding_rate(shape, gpu, 400, Reached()) == pytest.approx(256 / seconds)


def test_a_plan_adds_up() -> None:
    costs = list(plan(SHAPES["8b"], SHAPES["8b"], Load(), GPUS["h100"], Reached()))
    by_stage = {cost.stage.partition(",")[0]: cost for cost in costs}
    assert by_stage["sft"].tokens == 2 * 10_000 * (200 + 399)
    assert by_stage["prefer"].tokens == 3 * 10_000 * (200 + 4 * 399)
    assert by_stage["sample"].tokens == 3 * 10_000 * 4 * 400
    assert by_stage["prefer"].flops > 3 * by_stage["reference log-probs"].flops
    reached = GPUS["h100"].flops * 0.35
    assert by_stage["sft"].hours == pytest.approx(by_stage["sft"].flops / reached / 3600)


def test_a_models_own_config_is_read() -> None:
    config = {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 64,
        "vocab_size": 128,
    }
    assert shape_of(config, where="c.json") == TINY
    with pytest.raises(InputError, match=r"c.json: .* dense transformer: has no 'num_attention_he"):
        shape_of({"hidden_size": 32}, where="c.json")
    with pytest.raises(InputError, match=r"dense transformer: layers: .* greater than or equal"):
        shape_of({**config, "num_hidden_layers": 0}, where="c.json")


def test_a_point_measures_what_it_plans() -> None:
    found = _point(TINY)
    assert found.parameters == parameters(TINY)
    assert found.tokens_per_second > 0
    assert found.share > 0
    planned = footprint.training(sizes(TINY), "cpu", tokens=8 * (64 + 192))
    assert found.bytes_planned == planned.total


def test_figures_of_the_docs_are_those_of_the_command() -> None:
    blocks = re.findall(r"<!-- plan (.*?) -->\n(.*?)\n<!-- end -->", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for words, table in blocks:
        shown = CliRunner().invoke(app, ["bench", "plan", *words.split()])
        assert shown.exit_code == 0
        assert shown.stdout.strip() == table


def test_files_of_the_docs_are_those_of_the_package() -> None:
    text = DOCS.read_text()
    files = list((resources.files("exante.recipes") / "accelerate").iterdir())
    assert {file.name for file in files} == {"cpu.yaml", "ddp.yaml", "fsdp2.yaml", "zero3.yaml"}
    for file in files:
        assert f"```yaml\n{file.read_text()}```" in text


def test_unknown_models_and_gpus_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[")
    wrong = (
        (["70b", "--gpu", "h1"], "unknown GPU"),
        (["none"], "no such model folder"),
        ([str(tmp_path)], "cannot be read"),
    )
    for words, said in wrong:
        found = CliRunner().invoke(app, ["bench", "plan", *words])
        assert isinstance(found.exception, InputError)
        assert said in str(found.exception)
    assert scale.GPUS.keys() == {"h100", "h200"}
