"""The outcome of a run for others: whole weights with their card, here or on the hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from exante.durable import write_text
from exante.models.adapters import is_adapter
from exante.models.hub import check_ready, gather, require_id, upload
from exante.models.merging import merge_folder
from exante.pages.card import CARD
from exante.stages.base import RECIPE
from exante.stages.card import card_of
from exante.stages.runs import final_model


def merge_run(run: Path, out: Path, *, dtype: str = "float32") -> float:
    """Write the adapter of a run, a step or a folder as whole weights, with the card of a run.

    Returns how far a token's log-prob moved at most, in nats.

    Raises:
        InputError: there is no adapter, or `out` is there already.
        RunError: the merged model does not say the same; nothing is written.
    """
    has_card = (run / RECIPE).is_file()
    if has_card:
        # What cannot be told of the run is said here, before anything is merged.
        card_of(run)
    away = merge_folder(final_model(run), out, dtype=dtype)
    if has_card:
        write_text(out / CARD, card_of(run, merged=out))
    return away


def push_run(run: Path, to: str, *, private: bool = False, folder: Path | None = None) -> str:
    """Gather and upload the outcome of a run; a line that says where it is.

    An adapter is merged: it names its base by a path of this machine, where nobody else finds it.

    Raises:
        InputError: the run has no model, or the hub cannot be used from here.
        RunError: the upload failed.
    """
    require_id(to)
    if folder is None:
        check_ready(to)
    # A folder that is no run is refused here, before anything is merged.
    text, model = card_of(run, name=to), final_model(run)
    with tempfile.TemporaryDirectory(prefix="exante-push-") as place:
        if is_adapter(model):
            merged = Path(place) / "merged"
            merge_folder(model, merged)
            text, model = card_of(run, name=to, merged=merged), merged
        names = gather(model, text, folder or Path(place) / "upload")
        if folder is not None:
            return f"{folder}: {', '.join(names)}"
        return upload(Path(place) / "upload", to, private=private)
