"""Stamps of finished steps: what was asked for, what came out, and whether it still is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exante.errors import ArtefactError
from exante.stages.contents import STAMP, damages, listed_in

UNFINISHED = ".partial"
"""End of the name of a folder in which a step is being made."""
_PARTS = ("config", "outside", "inputs", "summary", "record")
"""Parts of a stamp that are mappings."""


def finished_steps(run: Path) -> list[Path]:
    """Folders of the finished steps of a run, by name.

    A kill may come between the stamp and the name that makes a step finished.
    """
    stamped = (path.parent for path in run.glob(f"*/{STAMP}"))
    return sorted(folder for folder in stamped if folder.suffix != UNFINISHED)


def stamp_of(folder: Path) -> dict[str, Any]:
    """The stamp of a finished stage.

    Raises:
        ArtefactError: the folder is not one.
    """
    try:
        stamp: dict[str, Any] = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(
            "not the folder of a finished stage",
            where=str(folder),
            fix="check the path; a step that lost its stamp is set aside by "
            f"exante repair {folder.parent}",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, f"its stamp cannot be read: {error}") from None
    if not isinstance(stamp, dict) or "fingerprint" not in stamp:
        raise ArtefactError(
            "its stamp is not one of ours", where=str(folder / STAMP), fix="choose another --output"
        )
    return whole_stamp(stamp, folder)


def whole_stamp(stamp: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The stamp with all of its parts, the empty ones included.

    Raises:
        ArtefactError: a part is no mapping.
    """
    parts = {**{part: {} for part in _PARTS}, **stamp}
    inputs = parts["inputs"]
    broken = [part for part in _PARTS if not isinstance(parts[part], dict)]
    if not broken and not all(isinstance(labels, dict) for labels in inputs.values()):
        broken = ["inputs"]
    if broken:
        raise _damaged(folder, f"its stamp is broken: {broken[0]} is no mapping")
    return parts


def fingerprint_of(folder: Path) -> str:
    """What identifies the content of a finished stage."""
    return str(stamp_of(folder)["fingerprint"])


def require_whole(folder: Path) -> None:
    """Check that a finished step still has the files it was stamped with, and no others.

    Of a step from before files were listed nothing is known, and nothing is said.

    Raises:
        ArtefactError: names the first file that was changed, is missing, or does not belong there.
    """
    try:
        contents = listed_in(stamp_of(folder))
    except ArtefactError as error:
        raise _damaged(folder, error.problem) from None
    found = damages(folder, contents) if contents is not None else []
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise _damaged(folder, f"is damaged: {found[0]}{more}")


def require_same_content(out: Path, inputs: Mapping[str, Mapping[str, Path]]) -> None:
    """Check that a finished step was made from its inputs as they are now.

    Fingerprints say what was asked for. An input that was made again, as after a repair, can come
    out as something else on another machine.

    Raises:
        ArtefactError: names the first input that is another one.
    """
    read, now = stamp_of(out).get("read", {}), content_of(inputs)
    for role, contents in now.items():
        for label, content in contents.items():
            if read.get(role, {}).get(label, content) != content:
                raise _damaged(out, f"was made from another {label} than the one that is there now")


def content_of(inputs: Mapping[str, Mapping[str, Path]]) -> dict[str, dict[str, str]]:
    """What each input, by role and label, came out as; old ones that do not say are left out."""
    return {
        role: {
            label: stamp["content"]
            for label, folder in folders.items()
            if "content" in (stamp := stamp_of(folder))
        }
        for role, folders in inputs.items()
    }


def _damaged(folder: Path, problem: str) -> ArtefactError:
    return ArtefactError(
        problem,
        where=str(folder),
        fix=f"exante repair {folder.parent}, and the same command again: it makes this step anew",
    )
