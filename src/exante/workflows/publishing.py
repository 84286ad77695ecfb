"""The outcome of a run on the hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from exante.models.hub import gather, upload
from exante.stages.card import card_of
from exante.stages.runs import final_model


def push_run(run: Path, to: str, *, private: bool = False, folder: Path | None = None) -> str:
    """Gather and upload the outcome of a run; a line that says where it is.

    Raises:
        InputError: the run has no model, or the hub cannot be used from here.
        RunError: the upload failed.
    """
    text, model = card_of(run, name=to), final_model(run)
    if folder is not None:
        names = gather(model, text, folder)
        return f"{folder}: {', '.join(names)}"
    with tempfile.TemporaryDirectory(prefix="exante-push-") as place:
        gather(model, text, Path(place))
        return upload(Path(place), to, private=private)
