"""Trackers see what our own log says, and change nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.tiny import tiny_model
from tests.training.test_fit import SETTINGS, rows

from exante.errors import InputError
from exante.models.folders import weights_fingerprint
from exante.models.load import load_chat
from exante.training import fit_tokens
from exante.training.trackers import tracker_names, watching


def test_tensorboard_gets_the_curves_and_the_weights_stay_the_same(tmp_path: Path) -> None:
    policy = tiny_model(tmp_path / "policy")
    turns, before = rows(load_chat(policy)), dict(os.environ)
    plain = tmp_path / "plain" / "taught.12345678.partial"
    fit_tokens(turns, policy=policy, out=plain, settings=SETTINGS)
    out = tmp_path / "run" / "taught.12345678.partial"
    with watching(["tensorboard"], tmp_path / "run" / "trackers"):
        fit_tokens(turns, policy=policy, out=out, settings=SETTINGS)
    assert weights_fingerprint(out / "model") == weights_fingerprint(plain / "model")
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in plain.iterdir())
    events = EventAccumulator(str(tmp_path / "run" / "trackers" / "taught"))
    events.Reload()
    assert len(events.Scalars("train/loss")) == len((out / "log.jsonl").read_text().splitlines())
    assert dict(os.environ) == before


def test_what_is_unknown_or_missing_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracker_names("") == ()
    assert tracker_names("tensorboard, tensorboard") == ("tensorboard",)
    with pytest.raises(InputError, match="did you mean 'wandb'"):
        tracker_names("tensorboard,wanbd")
    monkeypatch.setattr("exante.training.trackers.find_spec", lambda _: True)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="not logged in to Weights & Biases"):
        tracker_names("wandb")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password none\n")
    assert tracker_names("wandb") == ("wandb",)
    monkeypatch.setattr("exante.training.trackers.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'exante\[trackers\]'"):
        tracker_names("wandb")
