"""`exante model`: what will happen with a model, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exante.cli import completion
from exante.cli.adapters import merge
from exante.cli.options import AsJson
from exante.cli.terminal import echo

if TYPE_CHECKING:
    from exante.models.check import ModelCheck

model_app = typer.Typer(
    no_args_is_help=True, help="Look at a model before a run is spent on it; merge adapters."
)
model_app.command()(merge)


@model_app.command()
def check(
    model: Annotated[
        str,
        typer.Argument(
            help="A model folder, a hub id, or miniature.", autocompletion=completion.models
        ),
    ],
    recipe: Annotated[
        str,
        typer.Option(help="The recipe that is going to be run.", autocompletion=completion.recipes),
    ] = "erpo",
    prompt_tokens: Annotated[
        int, typer.Option(help="Tokens of a long prompt of yours, for the estimates.", min=1)
    ] = 256,
    turn_tokens: Annotated[
        int | None, typer.Option(help="As `--set turn_tokens`; None: as with data of yours.", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a run will do with a model, what it needs, and what stands in its way.

    Weights are neither loaded nor, of a hub id, downloaded. Exit code 2 if a run could not work.

    Example: exante model check Qwen/Qwen3-4B --recipe erpo
    """
    from exante.workflows.checking import looked_at

    found = looked_at(model, recipe, prompt_tokens=prompt_tokens, turn_tokens=turn_tokens)
    if as_json:
        told: dict[str, Any] = found.check.model_dump(mode="json")
        told["problems"] = [problem.model_dump() for problem in found.problems]
        told |= {"memory": found.memory, "example": found.example}
        echo(json.dumps(told, ensure_ascii=False))
    else:
        _tell(found.check, found.memory, found.example, prompt_tokens)
        for problem in found.problems:
            echo(f"{problem.level}: {problem.text}\n  fix: {problem.fix}")
    if any(problem.level == "error" for problem in found.problems):
        raise typer.Exit(2)
    if not as_json:
        echo("ok: a run can work")


@model_app.command()
def shrink(
    model: Annotated[
        str,
        typer.Argument(
            help="A model folder, a hub id, or miniature.", autocompletion=completion.models
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the small model goes.")],
) -> None:
    """Make a tiny random model of the same architecture, to try a whole run before it is paid for.

    It has the tokenizer and the chat template, and knows nothing. Weights are not downloaded.

    Example: exante model shrink Qwen/Qwen3-4B -o tiny && exante align --model ./tiny --data m.yaml
    """
    from exante.models.folders import resolve
    from exante.models.small import shrink as write_small

    count = write_small(resolve(model, weights=False), output)
    echo(f"{output}: {count:,} random parameters")


def _tell(
    found: ModelCheck, memory: list[dict[str, Any]], rows: list[dict[str, Any]], prompt: int
) -> None:
    from exante.workflows.checking import DEVICES, in_words

    echo(found.folder)
    for name, value in _facts(found):
        echo(f"  {name:14} {value}")
    if rows:
        echo("one row of supervised fine-tuning:")
        for name, learned in (("given", False), ("learned", True)):
            echo(f"  {name:8} {' '.join(r['token'] for r in rows if r['learned'] == learned)}")
    if memory:
        echo(f"memory, about, with prompts of {prompt} tokens:")
        echo(f"  {'stage':10} {'of':14} {'CPU':>10} {'GPU':>10}")
    for row, other in zip(*(_of(memory, device) for device in DEVICES), strict=True):
        sizes = f"{in_words(row['total']):>10} {in_words(other['total']):>10}"
        echo(f"  {row['stage']:10} {row['of']:14} {sizes}")


def _of(memory: list[dict[str, Any]], device: str) -> list[dict[str, Any]]:
    return [row for row in memory if row["device"] == device]


def _facts(found: ModelCheck) -> Iterator[tuple[str, str]]:
    """What was found, in words."""
    if (w := found.weights) is not None:
        yield "network", f"{w.architecture}, {w.parameters:,} parameters, {w.dtype} on disk"
        yield "reads", f"{w.max_length:,} tokens at most"
        yield "attention", "; ".join(f"{device}: {how}" for device, how in w.attention.items())
        shares = {True: "shared", False: "plain", None: "found out when training starts"}
        yield "rows", shares[w.shares_rows]
        yield "LoRA targets", ", ".join(w.lora_targets) or "none"
        if found.chat is not None:
            yield "vocabulary", f"{found.chat.tokens} tokens, {w.embeddings} embeddings"
    if (c := found.chat) is not None:
        stops = f"; sampling stops at {' '.join(c.stops)}"
        yield "turn ends with", f"{c.turn_end}{stops if len(c.stops) > 1 else ''}"
        yield "pad, eos", f"{c.pad}, {c.eos or 'none'}"
        yield "BOS", f"{c.bos} in a prompt"
        yield "system", c.system
        kept = "stays" if c.keeps_reasoning else "is dropped"
        yield "reasoning", f"of earlier turns {kept}; of the turn itself it always stays"
        own = f", of which the template opens {c.opens!r}" if c.opens else ""
        yield "trace", f"opened with {c.opening!r}{own}"
        pieces = ", ".join(f"{word} {count}" for word, count in c.markup.items())
        yield "markup", f"tokens: {pieces}"
