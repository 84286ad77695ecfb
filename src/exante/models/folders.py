"""What a model's name and the files of its folder say; no weights are loaded here.

A folder holds whole weights, or an adapter that names its base.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from transformers import AutoConfig

from exante.errors import InputError
from exante.models.adapters import BASE, TRACE, adapter_settings, base_of, copy_adapter, is_adapter
from exante.models.faults import UNFIT, first_line
from exante.records import read_object, write_json

MINIATURE = "miniature"
_IDENTITY = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def resolve(name: str, *, weights: bool = True) -> Path:
    """The folder of a model: `miniature`, a local folder, or a Hugging Face id to download.

    Without `weights` only configs and tokenizer of an id are downloaded.

    Raises:
        InputError: there is no such folder, or the hub has no safetensors under that id.
    """
    if name == MINIATURE:
        return Path(str(resources.files("exante.miniature") / "base"))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise InputError(
            "no such model folder",
            where=name,
            fix="give a folder, a hub id such as Qwen/Qwen3-4B, or miniature",
        )
    return _download(name, weights)


def base_folder(path: Path) -> Path:
    """The folder of the weights that an adapter was trained on.

    Raises:
        InputError: it is not there, or holds other weights now.
    """
    base = base_of(path)
    try:
        folder = resolve(base.name)
    except InputError as error:
        raise InputError(
            f"the adapter's base is not there: {base.name}",
            where=str(path),
            fix=f"put it back, or write its place into base.json ({error.problem})",
        ) from None
    if base.fingerprint and weights_fingerprint(folder) != base.fingerprint:
        raise InputError(
            f"the adapter was trained on other weights than those in {base.name}",
            where=str(path),
            fix="put its base back, or write the place of the right one into base.json",
        )
    return folder


def whole_folder(path: Path) -> Path:
    """The folder with config and whole weights: itself, or an adapter's base.

    Raises:
        InputError: the base is not there, or holds other weights now.
    """
    return base_folder(path) if is_adapter(path) else path


def require_weights(path: Path) -> None:
    """Refuse a folder without a config or with weights that are not safetensors, or not all there.

    Raises:
        InputError: says what is missing.
    """
    if not (path / "config.json").is_file():
        raise InputError(
            "no config.json: not a model folder", where=str(path), fix="check the path"
        )
    if not list(path.glob("*.safetensors")):
        raise InputError(
            "no *.safetensors; other weight formats can run code and are not loaded",
            where=str(path),
            fix="save the model again with save_pretrained",
        )
    index = _index_of(path)
    _require_plain(path, index)
    gone = sorted(name for name in set(index.values()) if not (path / name).is_file())
    if gone:
        raise InputError(
            f"{len(gone)} of {len(set(index.values()))} weight files are missing: "
            f"{', '.join(gone[:3])}",
            where=str(path),
            fix="copy or download them again",
        )


def _index_of(path: Path) -> dict[str, str]:
    """The file of each tensor; empty where there is no index.

    Raises:
        InputError: the index names something else.
    """
    place = path / "model.safetensors.index.json"
    index = _json_of(place).get("weight_map", {})
    if not isinstance(index, dict) or not all(isinstance(file, str) for file in index.values()):
        raise InputError(
            "weight_map does not name a file for each tensor",
            where=str(place),
            fix="copy or download it again",
        )
    return index


def _require_plain(path: Path, index: Mapping[str, str]) -> None:
    """Refuse what would have transformers read other files than these, or run code of others."""
    for name in sorted(set(index.values())):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(
                f"its index names {name!r}, which is no safetensors file of the folder",
                where=str(path),
                fix="save the model again with save_pretrained",
            )
    for field in ("attn_implementation", "_attn_implementation"):
        if "/" in str(_json_of(path / "config.json").get(field, "")):
            raise InputError(
                f"{field}: its config asks for code from the hub",
                where=str(path),
                fix="take the field out of config.json",
            )


def config_fields(path: Path) -> dict[str, Any]:
    """A model's config as it is written, an adapter's base's; empty where there is none."""
    return _json_of(whole_folder(path) / "config.json")


def vocabulary_of(path: Path) -> int | None:
    """Rows of the embeddings by a folder's config; None where it does not say."""
    config = config_fields(path)
    text = config.get("text_config")
    found = config.get("vocab_size") or (text if isinstance(text, dict) else {}).get("vocab_size")
    return found if isinstance(found, int) and found > 0 else None


def context_limit(path: Path) -> int:
    """Most tokens that a folder's model reads; without end where its config names no limit.

    Raises:
        InputError: it holds no model.
    """
    folder = whole_folder(path)
    require_weights(folder)
    config = config_of(folder).get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or 1 << 30)


def config_of(path: Path) -> Any:
    """The config of a folder with whole weights, as transformers understands it.

    Raises:
        InputError: it does not: an architecture that it has not, or a field that does not fit.
    """
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except UNFIT as error:
        raise InputError(
            f"no usable config: {first_line(error)}",
            where=str(path),
            fix="take a model that transformers knows; code that comes with a model is never run",
        ) from None


def stops_of(path: Path) -> frozenset[int]:
    """Tokens at which generation stops, by a folder's own configs."""
    written = {"generation_config.json": _json_of(path / "generation_config.json")}
    written |= {"config.json": config_fields(path)}
    for name, fields in written.items():
        ids = fields.get("eos_token_id")
        if not (ids is None or isinstance(ids, int) or _are_ids(ids)):
            raise InputError(
                f"eos_token_id: {ids!r:.60} is no token's number",
                where=str(path / name),
                fix="write the number of the token that ends a turn, or a list of them",
            )
    return frozenset().union(*(as_ids(one.get("eos_token_id")) for one in written.values()))


def _are_ids(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(one, int) for one in found)


def as_ids(ids: int | list[int] | None) -> frozenset[int]:
    """The tokens of a config's field, which may be one, several or none."""
    return frozenset() if ids is None else frozenset([ids] if isinstance(ids, int) else ids)


def weights_fingerprint(path: Path) -> str:
    """sha256 over config, tokenizer and weights: what decides what the model says.

    Of an adapter that is its own content and the base that it names, wherever that lies.
    """
    told: list[Any] = []
    if is_adapter(path):
        base = base_of(path)
        known = base.fingerprint or weights_fingerprint(resolve(base.name))
        told = [known, adapter_settings(path), opened_trace(path)]
    names = [*_IDENTITY, *sorted(p.name for p in path.glob("*.safetensors"))]
    files = [path / name for name in names if (path / name).is_file()]
    states = tuple((str(file), file.stat()) for file in files)
    seen = tuple((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in states)
    return _sha256(json.dumps(told).encode() if told else b"", seen)


def copy_model(source: Path, target: Path) -> None:
    """Copy a model folder; an adapter still finds its base."""
    if is_adapter(source):
        copy_adapter(source, target)
    else:
        shutil.copytree(source, target, dirs_exist_ok=True)


def opened_trace(folder: Path) -> Literal["open", "free"]:
    """Is the start of a trace forced when this model is sampled? As its config says, else not."""
    return "open" if trace_mark(folder) == "open" else "free"


def trace_mark(folder: Path) -> str | None:
    """What a saved model says of how it is sampled; None where it was not trained here."""
    found = _json_of(_marked(folder)).get(TRACE)
    return None if found is None else str(found)


def mark_trace(folder: Path, trace: Literal["open", "free"]) -> None:
    """Write into a saved model's config how it is sampled; models trained from it inherit it."""
    write_json(_marked(folder), {**_json_of(_marked(folder)), TRACE: trace})


@lru_cache(maxsize=64)
def _sha256(start: bytes, files: tuple[tuple[str, int, int, int], ...]) -> str:
    """Of names and contents. Kept while the files stay as they are: large ones take seconds."""
    digest = hashlib.sha256(start)
    for name, *_ in files:
        digest.update(Path(name).name.encode())
        with Path(name).open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _marked(folder: Path) -> Path:
    """The file that says how a model is sampled."""
    return folder / (BASE if is_adapter(folder) else "config.json")


def _json_of(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is no file.

    Raises:
        InputError: there is one, and it holds no object.
    """
    return read_object(path, fix="copy or download it again") if path.is_file() else {}


def _download(name: str, weights: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = ["*.json", "*.jinja", "*.model", "*.txt", *(["*.safetensors"] if weights else [])]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"cannot be downloaded: {first_line(error)}",
            where=name,
            fix="check the id and the network, or give a local folder",
        ) from None
