"""A finished step has the files it was stamped with, or it is named, with the file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.turns import quiet

from exante.errors import ArtefactError
from exante.pages.card import CARD
from exante.stages.base import (
    STAMP,
    Config,
    Inputs,
    Stage,
    Tell,
    model_of,
    perform,
    point_at,
    stamp_of,
)
from exante.stages.contents import contents_of, damages, listed_in
from exante.stages.runs import final_model


class Text(Config):
    """Settings of the stage in these tests."""

    text: str = "old"


def write(config: Text, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
    """A file, and one in a folder."""
    (out / "rows.jsonl").write_text(config.text)
    (out / "model").mkdir()
    (out / "model/weights").write_text("weights")
    (out / "left.jsonl.tmp").write_text("half")
    return {}


WRITE = Stage("write", 1, Text, write)
READ = Stage("read", 1, Config, lambda c, i, o, t: {}, reads=("written",))


@pytest.fixture
def step(tmp_path: Path) -> Path:
    return perform(WRITE, Text(), Inputs({}), tmp_path / "run/step", quiet)


def again(step: Path) -> Path:
    return perform(WRITE, Text(), Inputs({}), step, quiet)


def swapped(path: Path, text: str) -> None:
    """Write another text of the same length, and put the time back: nothing is to be seen."""
    about = path.stat()
    path.write_text(text)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_a_stamp_lists_every_file_but_what_was_left_half_written(step: Path) -> None:
    stamp = stamp_of(step)
    assert set(stamp["files"]) == {"rows.jsonl", "model/weights"}
    assert stamp["files"]["rows.jsonl"]["bytes"] == 3
    listed = listed_in(stamp)
    assert listed is not None
    assert damages(step, listed, thorough=True) == []
    assert again(step) == step


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda step: (step / "rows.jsonl").write_text("new"), "rows.jsonl was changed"),
        (lambda step: (step / "rows.jsonl").write_text("longer"), "rows.jsonl was changed"),
        (lambda step: (step / "model/weights").unlink(), "model/weights is missing"),
        (
            lambda step: (step / "model/more.safetensors").touch(),
            "model/more.safetensors is none of its files",
        ),
    ],
)
def test_a_damaged_step_is_neither_kept_nor_read(step: Path, harm: Any, said: str) -> None:
    harm(step)
    with pytest.raises(ArtefactError, match=said) as caught:
        again(step)
    assert f"exante repair {step.parent}" in str(caught.value)
    inputs = Inputs({"written": {"step": step}})
    with pytest.raises(ArtefactError, match=said):
        perform(READ, Config(), inputs, step.parent / "reader", quiet)
    assert not (step.parent / "reader").exists()


def test_all_that_is_damaged_is_counted(step: Path) -> None:
    (step / "rows.jsonl").write_text("new")
    (step / "model/weights").unlink()
    with pytest.raises(ArtefactError, match=r"model/weights is missing \(and 1 more\)"):
        again(step)


def test_what_looks_unchanged_is_read_by_thorough_checks_only(step: Path) -> None:
    swapped(step / "rows.jsonl", "new")
    assert again(step) == step
    contents = listed_in(stamp_of(step))
    assert contents is not None
    (found,) = damages(step, contents, thorough=True)
    assert str(found) == "rows.jsonl was changed"


def test_a_copy_with_other_times_is_read_and_kept(step: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(step, copied, copy_function=shutil.copyfile)
    assert again(copied) == copied


def test_card_and_hidden_files_are_no_part_of_a_step(step: Path) -> None:
    (step / "model" / CARD).write_text("card")
    (step / ".nfs0001").write_text("")
    assert set(contents_of(step)) == {"rows.jsonl", "model/weights"}
    assert again(step) == step


def test_of_a_stamp_without_a_list_nothing_is_known(step: Path) -> None:
    stamp = {k: v for k, v in stamp_of(step).items() if k not in ("files", "content", "read")}
    (step / STAMP).write_text(json.dumps(stamp))
    (step / "rows.jsonl").write_text("other")
    assert again(step) == step


def test_a_list_that_was_edited_is_no_proof(step: Path) -> None:
    stamp = stamp_of(step)
    del stamp["files"]["model/weights"]
    (step / "model/weights").unlink()
    (step / STAMP).write_text(json.dumps(stamp))
    with pytest.raises(ArtefactError, match="list of files in its stamp was changed"):
        again(step)


def test_a_step_is_kept_only_beside_the_inputs_it_was_made_from(tmp_path: Path) -> None:
    run = tmp_path / "run"
    source = perform(WRITE, Text(), Inputs({}), run / "source", quiet)
    inputs = Inputs({"written": {"source": source}})
    reader = perform(READ, Config(), inputs, run / "reader", quiet)
    source.rename(tmp_path / "aside")
    perform(WRITE, Text(), Inputs({}), run / "source", quiet)
    assert perform(READ, Config(), inputs, reader, quiet) == reader
    source.rename(tmp_path / "aside-2")
    another = Stage(
        "write", 1, Text, lambda c, i, o, t: {"bytes": (o / "rows.jsonl").write_bytes(b"")}
    )
    perform(another, Text(), Inputs({}), run / "source", quiet)
    with pytest.raises(ArtefactError, match="made from another source than the one that is there"):
        perform(READ, Config(), inputs, reader, quiet)


def test_a_damaged_model_is_seen_through_what_points_at_it(step: Path) -> None:
    def point(config: Config, inputs: Inputs, out: Path, tell: Tell) -> dict[str, Any]:
        point_at(model_of(inputs.one("written")), out)
        return {}

    inputs = Inputs({"written": {"step": step}})
    run = step.parent
    gate = perform(
        Stage("point", 1, Config, point, reads=("written",)), Config(), inputs, run / "gate", quiet
    )
    assert final_model(gate) == step / "model"
    (step / "model/weights").write_text("WEIGHTS")
    with pytest.raises(ArtefactError, match="step: is damaged: model/weights was changed"):
        final_model(gate)
    with pytest.raises(ArtefactError, match="step: is damaged: model/weights was changed"):
        perform(READ, Config(), Inputs({"written": {"gate": gate}}), run / "reader", quiet)
