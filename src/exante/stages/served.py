"""A policy behind a server: pinned by its name and what the server tells, sampled by asking.

There are no token ids and no log-probs then, nothing can be put at the start of a turn, and nothing
is known of the weights: what that means for a report is told in its notes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from exante import traces
from exante.errors import InputError, RunError
from exante.models.endpoint import Ask
from exante.models.sample import SamplingSettings
from exante.models.speaker import is_endpoint, load_endpoint
from exante.records import Example, Generation, Message, Record, read_record, write_json
from exante.speakers import Said
from exante.stages.base import SERVER, Summary, Tell
from exante.stages.journal import Journal, foretold, paid

PREFIX = "server:"
_PASSING = ("created", "permission")
"""What servers tell anew each time they are asked."""
TAG = "think"
"""Of a trace behind a server: what the model's own template calls it is not known here."""


class Served(Record):
    """A model behind a server, as an artefact holds it."""

    name: str
    """`URL#MODEL`."""
    told: dict[str, Any]
    """What the server told of it, without what changes by itself."""


class Turns(NamedTuple):
    """What was sampled through a server."""

    turns: list[Generation]
    summary: Summary


def address_of(model: str) -> str | None:
    """`URL#MODEL` behind the name of a model on a server; None for any other model.

    Raises:
        InputError: it begins like one and is none.
    """
    if not model.startswith(PREFIX):
        return None
    address = model.removeprefix(PREFIX)
    if not is_endpoint(address):
        raise InputError("names no server", where=model, fix="server:http://HOST/v1#MODEL")
    return address


def pin_server(address: str, out: Path) -> Summary:
    """Ask the server what it tells of the model, and write it down.

    Raises:
        RunError: the server cannot be reached.
    """
    served = Served(name=address, told=_told(address))
    write_json(out / SERVER, served.model_dump())
    return {"model": PREFIX + address, "told": served.told}


def served_of(folder: Path) -> Served | None:
    """The model behind a server that an artefact is about; None where it has weights."""
    if not (folder / SERVER).is_file():
        return None
    fix = "name the step that pinned the server"
    return read_record(folder / SERVER, Served, what="note of a server", fix=fix)


def sample_served(
    served: Served, examples: Sequence[Example], settings: SamplingSettings, out: Path, tell: Tell
) -> Turns:
    """One turn per prompt and sample, in order; prompts that need a prefill are left out, counted.

    What the server said is in a journal in `out` until the caller drops it.

    Raises:
        RunError: the server fails, or tells of another model than when it was pinned.
    """
    if _told(served.name) != served.told:
        raise RunError(
            "the server tells something else of this model than when this run began",
            where=served.name,
            fix="start the same model again, or begin another run",
        )
    speaker = load_endpoint(served.name, settings.max_new_tokens, Journal(out))
    asked = [example for example in examples if not example.prefill]
    rows = [(example, sample) for example in asked for sample in range(settings.n)]
    foretold(speaker.foresee([example.messages for example, _ in rows]), tell)
    found: dict[int, Generation] = {}
    for place, said in speaker.each([_ask(*row, settings) for row in rows]):
        example, sample = rows[place]
        found[place] = _generation(said, example, sample)
        tell(len(found), len(rows), "turns")
    turns = [found[place] for place in range(len(rows))]
    summary = {
        "turns": len(turns),
        "tokens": sum(turn.told_tokens or 0 for turn in turns),
        "truncated": sum(turn.finish == "length" for turn in turns),
        "left_out": {"prefill": len(examples) - len(asked)},
        "notes": _notes(served, turns, len(examples) - len(asked)),
        **paid(speaker.bill, tell),
    }
    return Turns(turns, summary)


def told_pieces(turn: Generation) -> list[str]:
    """The turn's text in as many equal pieces as the server counted tokens."""
    count = turn.told_tokens or 0
    edges = [round(number * len(turn.text) / count) for number in range(count + 1)] if count else []
    return [turn.text[left:right] for left, right in pairwise(edges)]


def _told(address: str) -> dict[str, Any]:
    told = load_endpoint(address).served()
    return {name: value for name, value in sorted(told.items()) if name not in _PASSING}


def _ask(example: Example, sample: int, settings: SamplingSettings) -> Ask:
    """The prompt with its trace tags escaped, as a local model gets it."""
    messages = [
        message
        if message.role == "assistant"
        else Message(role=message.role, content=traces.escape(message.content, TAG))
        for message in example.messages
    ]
    options: dict[str, Any] = {"temperature": settings.temperature, "top_p": 1}
    if settings.temperature:
        name = f"{settings.seed} {example.id} {sample}".encode()
        # Within 31 bits: what every server takes.
        options["seed"] = int.from_bytes(hashlib.sha256(name).digest()[:4], "little") >> 1
    return Ask(messages, options, example.id)


def _generation(said: Said, example: Example, sample: int) -> Generation:
    text = said.text
    if said.reasoning:
        cut = said.finish == "length" and not text
        text = f"<{TAG}>{said.reasoning}" + ("" if cut else f"</{TAG}>{text}")
    return Generation(
        example_id=example.id,
        sample=sample,
        prompt_ids=(),
        token_ids=(),
        told_tokens=said.tokens,
        text=text,
        finish=said.finish,
    )


def _notes(served: Served, turns: Sequence[Generation], left_out: int) -> list[str]:
    """What a reader of the report must know."""
    notes = [
        f"{served.name} was asked through a server: it is known by its name alone, not by its "
        f"weights. Its tokens are the server's own count, shared out between trace and answer by "
        f"characters; its latency is not measured."
    ]
    if not served.told:
        notes.append(f"{served.name}: the server tells nothing of this model under /models.")
    if left_out:
        notes.append(
            f"{served.name}: {left_out} prompts whose attack writes the start of the answer were "
            f"left out, because no server takes such a start. Its means are over the other attacks."
        )
    uncounted = sum(turn.told_tokens is None for turn in turns)
    if uncounted:
        notes.append(
            f"{served.name}: of {uncounted} of {len(turns)} turns the server told no number of "
            f"tokens; they count as 0."
        )
    return notes
