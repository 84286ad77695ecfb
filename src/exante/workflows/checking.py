"""What a run of a recipe will ask of a model, reckoned before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from exante import recipes
from exante.models.check import ModelCheck, Problem, check_model
from exante.models.devices import default_device
from exante.models.folders import MINIATURE, resolve
from exante.models.footprint import sampling, training
from exante.models.forward import suits_plain
from exante.models.load import load_chat
from exante.models.memory import device_bytes
from exante.models.sample import MOST_ROWS
from exante.recipes import Recipe
from exante.recipes.plan import Each, parsed, steps_of
from exante.records import Message
from exante.stages.sft import as_sampled
from exante.workflows.performing import fitting

DEVICES = ("cpu", "cuda")
_RANK = 16
_ASK = "How do I bake bread?"
_TURN = (
    "<think><assess>baking bread</assess><calibrate>comply</calibrate></think>"
    "Mix flour, water, salt and yeast."
)


@dataclass(frozen=True, slots=True)
class Look:
    """A model beside what a recipe asks of it."""

    check: ModelCheck
    problems: Sequence[Problem]
    """Of the model alone, and of what it and the machine do not have."""
    memory: list[dict[str, Any]]
    """Bytes of each stage by device, in parts and in total; where it trains, also with adapters."""
    example: list[dict[str, Any]]
    """A row of supervised fine-tuning: its tokens, and whether each is learned."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a stage asks of a model."""

    stage: str
    kind: Literal["train", "sample"]
    turn: int
    """Most tokens of a turn."""
    items: int
    """Turns in a batch that is trained on, or sampled together."""
    batch_tokens: int = 0
    max_length: int | None = None


def looked_at(model: str, recipe: str, *, prompt_tokens: int, turn_tokens: int | None) -> Look:
    """Look at a model folder, hub id or `miniature`; weights are neither loaded nor downloaded.

    `prompt_tokens` are those of a long prompt; `turn_tokens` None is what the recipe takes for data
    of the user's.

    Raises:
        InputError: there is no such model or recipe.
    """
    folder = resolve(model, weights=False)
    found = check_model(folder, complete=model == MINIATURE or Path(model).expanduser().is_dir())
    needs = list(_needs(recipe, model, turn_tokens))
    memory = memory_of(found, needs, prompt_tokens)
    return Look(
        check=found,
        problems=[*found.problems, *_too_much(found, needs, memory, prompt_tokens)],
        memory=memory,
        example=_example(folder) if found.chat else [],
    )


def in_words(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _needs(name: str, model: str, turn_tokens: int | None) -> Iterator[Need]:
    """The stages of a recipe that run the model, each once, with its largest demand."""
    # A model of the user's is going to be trained on data of the user's.
    data = None if model == MINIATURE else "yours"
    asked = {"model": model, "data": data, "turn_tokens": turn_tokens}
    recipe = recipes.load(name, fitting(recipes.settings_of(name), asked))
    found: dict[str, Need] = {}
    configs = list(_configs(recipe, name))
    turn = max((c.sampling.max_new_tokens for _, c in configs if hasattr(c, "sampling")), default=1)
    for stage, config in configs:
        if hasattr(config, "train"):
            train = config.train
            # A pair is two turns behind one prompt.
            items = train.batch_size * (2 if stage == "prefer" else 1)
            need = Need(stage, "train", turn, items, train.batch_tokens, train.max_length)
        elif hasattr(config, "sampling"):
            rows = config.sampling.batch_size or 1 << 30
            need = Need(stage, "sample", config.sampling.max_new_tokens, rows)
        else:
            continue
        before = found.get(stage, need)
        found[stage] = max(before, need, key=lambda n: (n.batch_tokens, n.turn, n.items))
    yield from found.values()


def _configs(recipe: Recipe, name: str) -> Iterator[tuple[str, Any]]:
    """The settings of every step, with what is known before a run in the place of `$names`."""
    known = {**recipe.settings, "round": 1}
    for node in recipe.nodes:
        if isinstance(node, Each):
            known |= next(iter(node.items.values()), {})
    for _, step in steps_of(recipe):
        fields = step.stage.config.model_fields
        if "train" in fields or "sampling" in fields:
            yield step.stage.name, parsed(step, known, name)


def memory_of(found: ModelCheck, needs: Sequence[Need], prompt: int) -> list[dict[str, Any]]:
    """Bytes of each need by device, with prompts of so many tokens; none of an unknown shape."""
    if found.shape is None or found.weights is None:
        return []
    shape = found.shape
    rows = []
    for need in needs:
        width = min(prompt + need.turn, need.max_length or found.weights.max_length)
        for device in DEVICES:
            if need.kind == "sample":
                held = min(need.items, MOST_ROWS)
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
    found: ModelCheck, needs: list[Need], memory: list[dict[str, Any]], prompt: int
) -> Iterator[Problem]:
    """What a recipe asks and model or machine do not have."""
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
                text=f"{row['stage']} ({row['of']}) takes about {in_words(row['total'])}, and this "
                f"{device} has {in_words(room)}",
                fix="lower train.batch_tokens or sampling.batch_size, train adapters, or take "
                "another machine",
            )


def _example(folder: Path) -> list[dict[str, Any]]:
    chat = load_chat(folder)
    asked = (Message(role="user", content=_ASK),)
    row = as_sampled("example", asked, _TURN, chat, opened=True)
    tokens = chat.tokenizer.convert_ids_to_tokens([*row.prompt_ids, *row.response_ids])
    given = len(row.prompt_ids)
    return [{"token": t, "learned": place >= given} for place, t in enumerate(tokens)]
