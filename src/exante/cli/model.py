"""`exante model`: what will happen with a model, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from exante.cli import completion
from exante.cli.adapters import merge
from exante.cli.options import AsJson
from exante.cli.terminal import echo

if TYPE_CHECKING:
    from exante.models.check import ModelCheck, Problem
    from exante.models.footprint import Shape

model_app = typer.Typer(
    no_args_is_help=True, help="Look at a model before a run is spent on it; merge adapters."
)
model_app.command()(merge)

_RANK = 16
_ASK = "How do I bake bread?"
_TURN = (
    "<think><assess>baking bread</assess><calibrate>comply</calibrate></think>"
    "Mix flour, water, salt and yeast."
)
_DEVICES = ("cpu", "cuda")


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
    from exante.models.check import check_model
    from exante.models.folders import MINIATURE, resolve

    folder = resolve(model, weights=False)
    found = check_model(folder, complete=model == MINIATURE or Path(model).expanduser().is_dir())
    needs = list(_needs(recipe, model, turn_tokens))
    memory = _memory(found.shape, needs, prompt_tokens, found)
    problems = [*found.problems, *_too_much(found, needs, memory, prompt_tokens)]
    rows = _example(str(folder)) if found.chat else []
    if as_json:
        told: dict[str, Any] = found.model_dump(mode="json")
        told |= {"problems": [p.model_dump() for p in problems], "memory": memory, "example": rows}
        echo(json.dumps(told, ensure_ascii=False))
    else:
        _tell(found, memory, rows, prompt_tokens)
        for problem in problems:
            echo(f"{problem.level}: {problem.text}\n  fix: {problem.fix}")
    if any(problem.level == "error" for problem in problems):
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


@dataclass(frozen=True, slots=True)
class _Need:
    """What a stage asks of a model."""

    stage: str
    kind: Literal["train", "sample"]
    turn: int
    """Most tokens of a turn."""
    items: int
    """Turns in a batch that is trained on, or sampled together."""
    batch_tokens: int = 0
    max_length: int | None = None


def _needs(name: str, model: str, turn_tokens: int | None) -> Iterator[_Need]:
    """The stages of a recipe that run the model, each once, with its largest demand."""
    from exante import recipes
    from exante.models.folders import MINIATURE
    from exante.workflows.performing import fitting

    # A model of the user's is going to be trained on data of the user's.
    data = None if model == MINIATURE else "yours"
    asked = {"model": model, "data": data, "turn_tokens": turn_tokens}
    recipe = recipes.load(name, fitting(recipes.settings_of(name), asked))
    found: dict[str, _Need] = {}
    configs = list(_configs(recipe, name))
    turn = max((c.sampling.max_new_tokens for _, c in configs if hasattr(c, "sampling")), default=1)
    for stage, config in configs:
        if hasattr(config, "train"):
            train = config.train
            # A pair is two turns behind one prompt.
            items = train.batch_size * (2 if stage == "prefer" else 1)
            need = _Need(stage, "train", turn, items, train.batch_tokens, train.max_length)
        elif hasattr(config, "sampling"):
            rows = config.sampling.batch_size or 1 << 30
            need = _Need(stage, "sample", config.sampling.max_new_tokens, rows)
        else:
            continue
        before = found.get(stage, need)
        found[stage] = max(before, need, key=lambda n: (n.batch_tokens, n.turn, n.items))
    yield from found.values()


def _configs(recipe: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The settings of every step, with what is known before a run in the place of `$names`."""
    from exante.recipes.plan import Each, parsed, steps_of

    known = {**recipe.settings, "round": 1}
    for node in recipe.nodes:
        if isinstance(node, Each):
            known |= next(iter(node.items.values()), {})
    for _, step in steps_of(recipe):
        fields = step.stage.config.model_fields
        if "train" in fields or "sampling" in fields:
            yield step.stage.name, parsed(step, known, name)


def _memory(
    shape: Shape | None, needs: list[_Need], prompt: int, found: ModelCheck
) -> list[dict[str, Any]]:
    """Bytes of every stage, by device, and whole or with adapters where it trains."""
    from exante.models.footprint import sampling, training
    from exante.models.forward import suits_plain

    if shape is None or found.weights is None:
        return []
    rows = []
    for need in needs:
        width = min(prompt + need.turn, need.max_length or found.weights.max_length)
        for device in _DEVICES:
            if need.kind == "sample":
                held = min(need.items, 512)
                bytes_ = sampling(shape, device, rows=held, prompt=prompt, new=need.turn)
                rows.append({"stage": need.stage, "device": device, "of": "turns", **bytes_.parts})
                continue
            fused = found.weights.attention[device] != "eager" and not suits_plain(device, width)
            tokens = min(need.batch_tokens, need.items * width)
            for label, rank in (("all weights", None), (f"LoRA, rank {_RANK}", _RANK)):
                bytes_ = training(shape, device, tokens=tokens, width=width, rank=rank, fused=fused)
                rows.append({"stage": need.stage, "device": device, "of": label, **bytes_.parts})
    return [{**row, "total": sum(v for v in row.values() if isinstance(v, int))} for row in rows]


def _too_much(
    found: ModelCheck, needs: list[_Need], memory: list[dict[str, Any]], prompt: int
) -> Iterator[Problem]:
    """What a recipe asks and model or machine do not have."""
    from exante.models.check import Problem
    from exante.models.devices import default_device
    from exante.models.memory import device_bytes

    limit = found.weights.max_length if found.weights else 1 << 30
    longest = max((need.turn for need in needs), default=0)
    if longest + prompt > limit:
        yield Problem(
            level="error" if longest >= limit else "warning",
            text=f"a prompt of {prompt} tokens and a turn of {longest} are more than the {limit} "
            "the model reads",
            fix="lower turn_tokens: exante align --set turn_tokens=N",
        )
    device = default_device()
    room = device_bytes(device)
    for row in memory:
        if row["device"] == device and row["total"] > room:
            yield Problem(
                level="warning",
                text=f"{row['stage']} ({row['of']}) takes about {_size(row['total'])}, and this "
                f"{device} has {_size(room)}",
                fix="lower train.batch_tokens or sampling.batch_size, train adapters, or take "
                "another machine",
            )


def _example(folder: str) -> list[dict[str, Any]]:
    """A row of supervised fine-tuning, token by token."""
    from exante.models.load import load_chat
    from exante.records import Message
    from exante.stages.sft import as_sampled

    chat = load_chat(Path(folder))
    asked = (Message(role="user", content=_ASK),)
    row = as_sampled("example", asked, _TURN, chat, opened=True)
    tokens = chat.tokenizer.convert_ids_to_tokens([*row.prompt_ids, *row.response_ids])
    given = len(row.prompt_ids)
    return [{"token": t, "learned": place >= given} for place, t in enumerate(tokens)]


def _tell(
    found: ModelCheck, memory: list[dict[str, Any]], rows: list[dict[str, Any]], prompt: int
) -> None:
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
    for row, other in zip(*(_of(memory, device) for device in _DEVICES), strict=True):
        sizes = f"{_size(row['total']):>10} {_size(other['total']):>10}"
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


def _size(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
