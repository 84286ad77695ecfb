"""Reads a suite from a local file or from the hub, and says what exactly was read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from exante.errors import InputError
from exante.overlap import same_words
from exante.records import Example, Kind, Message, Record
from exante.rows import read_rows, sha256_of
from exante.suites import SUITES, Request, Suite, SuiteFile, public_file
from exante.suites.readers import READERS, Prompt, fits


class Account(Record):
    """What was read of one suite."""

    label: str
    """Stands in front of the prompts' ids."""
    suite: str | None
    """Known suite in whose format it was read; None for any other file."""
    split: str | None
    """Which published file it is, by its content."""
    file: str
    """Path as given, or the place on the hub."""
    sha256: str
    """Of the file's content."""
    licence: str
    """Of the prompts; `unknown` where neither content nor user say which suite it is."""
    citation: str = ""
    """Paper of the suite."""
    prompts: int
    """Prompts that are used."""
    available: int
    """Prompts that were read, before any limit."""
    kinds: dict[str, int]
    """Prompts by kind."""
    left_out: dict[str, int]
    """Rows by the reason they were left out."""


@dataclass(frozen=True, slots=True)
class Located:
    """A file on this machine, and the suite it belongs to."""

    path: Path
    shown: str
    sha256: str
    suite: Suite | None
    file: SuiteFile | None
    """None: not known to be one of the published ones."""
    is_public: bool
    """Its content is that of a published file."""
    is_named: bool
    """The user says that it belongs to the suite; else its columns may be all they share."""

    @property
    def label(self) -> str:
        """Suite and split, or the file's name where nobody vouches for the suite."""
        if self.suite is None or not (self.is_public or self.is_named):
            return self.path.stem
        several = len(self.suite.files) > 1 and self.file is not None
        return f"{self.suite.name}:{self.file.split}" if several and self.file else self.suite.name


def locate(request: Request) -> Located:
    """The file behind a request; a public one is fetched from the hub.

    Raises:
        InputError: the file cannot be read or fetched.
    """
    if request.path is None:
        return _published(SUITES[str(request.suite)], request.split)
    path = Path(request.path)
    digest = sha256_of(path)
    known = public_file(digest)
    if known is not None and request.suite in (None, known[0].name):
        is_named = request.suite is not None
        return Located(path, request.path, digest, *known, is_public=True, is_named=is_named)
    found = SUITES[request.suite] if request.suite else recognised(path)
    file = None
    if found is not None:
        by_name = (f for f in found.files if f.name == path.name)
        file = found.file(request.split) if request.split else next(by_name, None)
    is_named = request.suite is not None
    return Located(path, request.path, digest, found, file, is_public=False, is_named=is_named)


def _published(suite: Suite, split: str | None) -> Located:
    file = suite.file(split)
    path = fetch(suite, file)
    digest = sha256_of(path)
    is_public = file.sha256 in (None, digest)
    return Located(path, f"{suite.hub}/{file.hub}", digest, suite, file, is_public, is_named=True)


def recognised(path: Path) -> Suite | None:
    """The suite whose files look like this one, by its first row."""
    first = next(islice(read_rows(path), 1), None)
    if first is None:
        return None
    return next((s for s in SUITES.values() if fits(s.name, s.columns, first[1], path.stem)), None)


def read_suite(
    located: Located, *, column: str | None, kind: Kind | None, keep: tuple[str, ...]
) -> tuple[list[Example], dict[str, int]]:
    """Prompts of a known suite, and how many rows were left out, by reason.

    `keep` are reasons that do not count; `kind` holds where neither row nor file says one.

    Raises:
        InputError: a row does not fit; names file, line and field.
    """
    suite = located.suite
    if suite is None:
        raise ValueError("not the file of a known suite")
    examples: list[Example] = []
    left: Counter[str] = Counter()
    for line, row in read_rows(located.path):
        # A column of the user's is meant for files that have it.
        name = column if column is not None and column in row else suite.column
        prompt = READERS[suite.name](row, name, f"{located.path}:{line}")
        if prompt.left and prompt.left not in keep:
            left[prompt.left] += 1
            continue
        known = prompt.kind or (located.file.kind if located.file else None) or kind
        if known is None:
            splits = " or ".join(f"{suite.name}:{f.split}={located.shown}" for f in suite.files)
            raise InputError(
                f"cannot tell which file of {suite.title} this is",
                where=located.shown,
                fix=f"--suite {splits}",
            )
        examples.append(_example(located.label, line, prompt, known))
    return examples, dict(left)


def account(located: Located, examples: list[Example], left_out: dict[str, int]) -> Account:
    """What was read, for the artefact."""
    suite = located.suite
    vouched = suite if located.is_public or located.is_named else None
    return Account(
        label=located.label,
        suite=suite.name if suite else None,
        split=located.file.split if located.file and located.is_public else None,
        file=located.shown,
        sha256=located.sha256,
        licence=vouched.licence if vouched else "unknown",
        citation=vouched.citation if vouched else "",
        prompts=len(examples),
        available=len(examples),
        kinds=dict(Counter(e.kind for e in examples)),
        left_out=left_out,
    )


def fetch(suite: Suite, file: SuiteFile) -> Path:
    """The published file, from the hub or its cache.

    Raises:
        InputError: the authors do not publish it there, it needs consent, or there is no network.
    """
    own = f"--suite {suite.name}:{file.split}=PATH" if len(suite.files) > 1 else ""
    own = own or f"--suite {suite.name}=PATH"
    if suite.hub is None or file.hub is None:
        raise InputError(
            "its authors do not publish it on the hub",
            where=f"{suite.name}:{file.split}",
            fix=f"download {file.name} from {suite.home} and give {own}",
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(suite.hub, file.hub, repo_type="dataset"))
    except GatedRepoError:
        problem = "needs consent to its terms"
        fix = f"agree at {suite.home} and log in (hf auth login), or give {own}"
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        # The libraries' own messages run over many lines and may hold addresses with tokens.
        problem = "cannot be downloaded, and is not in the cache"
        fix = f"check the network, or give {own} (from {suite.home})"
    raise InputError(problem, where=f"{suite.hub}/{file.hub}", fix=fix)


def _example(label: str, line: int, prompt: Prompt, kind: Kind) -> Example:
    digest = same_words(prompt.text)
    return Example(
        id=f"{label}/{line}-{digest[:8]}",
        messages=(Message(role="user", content=prompt.text),),
        kind=kind,
        source=label,
        split_group=digest,
        facts={**prompt.facts, "plain": prompt.plain} if prompt.plain else prompt.facts,
    )
