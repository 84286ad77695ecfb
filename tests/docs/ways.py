"""How each page's commands are run here: what they find, and what is made small or left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.commands import sets

V = TypeVar("V")

FEW = {"harmful": 1, "benign": 2, "borderline": 1, "capability": 0}
_SHORT = {"n": 2, "temperature": 1.0, "max_new_tokens": 8}

CHANGES: dict[str, Any] = {
    "turn_tokens": 160,
    **{
        f"{step}.families": ["direct"]
        for step in ("training_prompts", "round_prompts", "validation_prompts", "suite")
    },
    "training_prompts.limits": {"harmful": 3, "benign": 3, "borderline": 2, "capability": 0},
    **{f"{step}.limits": FEW for step in ("round_prompts", "validation_prompts", "suite")},
    "refusal_sft.train.epochs": 1,
    "taught.train.epochs": 1,
    "shortened.repeat": 1,
    "sampled.sampling": _SHORT,
    "shortened.sampled.sampling": _SHORT,
    **{
        f"{step}.sampling.max_new_tokens": 8
        for step in (
            "taught_sampled",
            "tuned_sampled",
            "shortened.check_sampled",
            "evaluation.sampled",
        )
    },
    "latency.timed.count": 4,
    "latency.timed.max_new_tokens": 8,
}
"""A whole run of ERPO in some fifteen seconds of one core."""
ALIGN = sets(CHANGES)
EVALUATE = (*sets({"evaluation.sampled.sampling.max_new_tokens": 8, "turn_tokens": 160}),)
SMALL = {"align": ALIGN, "evaluate": EVALUATE}
"""Words that are added to a command, unless a page says how it is run."""

HUB = {name: "./models/qwen" for name in ("Qwen/Qwen3-4B", "Qwen/Qwen3-8B", "Qwen/Qwen3-32B")} | {
    "./my-model": "./models/tiny",
    "MODEL": "./models/tiny",
    "./attacker-model": "./models/tiny",
}
"""Small models for those that cannot be had here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one command is run."""

    add: tuple[str, ...] = ()
    """Further words, in the place of those of `SMALL`."""
    swap: Mapping[str, str] = field(default_factory=dict)
    """Words in the place of words."""
    planned: str = ""
    """Why everything up to the first step is done, and no step."""
    parsed: str = ""
    """Why it is only held against the command line."""
    code: int = 0
    """Its exit code."""
    fresh: tuple[str, ...] = ()
    """Paths that an earlier command made, and that are removed before."""
    differs: str = ""
    """Why it says something else here than on the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the blocks of a page need."""

    runs: tuple[str, ...] = ()
    """Run folders that are there."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Small models that are there under other names."""
    files: tuple[str, ...] = ()
    """Files of `stand_ins.FILES` that are there."""
    saves: Mapping[str, str] = field(default_factory=dict)
    """File that a block becomes, by how the block begins."""
    ways: Mapping[str, Way] = field(default_factory=dict)
    """By how a command begins."""
    otherwise: Way = Way()
    """How other commands of the page are run."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the shell would put in the place of `$name`."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Why nothing can check a block, by how it begins."""
    swap: Mapping[str, str] = field(default_factory=dict)
    """Texts in the place of texts, in the page's Python and files."""

    def changed(self, text: str) -> str:
        """The text of a block with what cannot be had here replaced."""
        for old, new in self.swap.items():
            text = text.replace(old, new)
        return text


def at(table: Mapping[str, V], text: str) -> V | None:
    """The entry whose key the text begins with, the longest of them."""
    found = max((key for key in table if text.startswith(key)), key=len, default=None)
    return None if found is None else table[found]


def until(step: str, *more: str, **kept: Any) -> Way:
    """Really run, up to this step."""
    return Way(add=(*ALIGN, "--until", step, *more), **kept)


_LONG = "it takes minutes to hours; every step of it runs in other tests"
_HTTP = "it answers until it is stopped; tests/serving runs it"
_NETWORK = "there is no network"
_TIMED = "it measures for minutes on an idle machine"
_SEVERAL = "several processes; tests/end_to_end runs two"
_DOTS = "the dots stand for options of yours"
_ASKED = "it asks a server; tests/end_to_end runs it"
_SAID = "what a command said"
_RANDOM = "the page's was typed with other data or a server"
_SERVER = "server:http://127.0.0.1:8001/v1#strong"
_TINY = {"./tiny": "./models/tiny"}
_EXTRA = "an extra, which has tests of its own"

PAGES: dict[str, Page] = {
    "README.md": Page(
        files=("policy.md", "mix.yaml", "prompts.jsonl"),
        ways={
            "exante align --model Qwen/Qwen3-4B": until("refusal_sft"),
            "exante serve": Way(planned=_HTTP),
        },
        runs=("runs/demo",),
        swap={'output="runs/demo"': 'output="runs/demo", **DEMO'},
    ),
    "CONTRIBUTING.md": Page(unread={"cli > api": "lint-imports checks it"}),
    "docs/compare.md": Page(
        files=("prompts.jsonl",),
        saves={"name: anchored_dpo": "mine.yaml"},
        ways={"exante compare": Way(planned=_LONG)},
    ),
    "docs/data.md": Page(
        files=(
            "prompts.jsonl",
            "harmbench/adv_training_behaviors.csv",
            "advbench/harmful_behaviors.csv",
            "xstest_prompts.csv",
            "harmless_val.json",
            "STAR-1.json",
            "harmbench_behaviors_text_val.csv",
            "pku_pairs.json",
        ),
        saves={"portions:": "mix.yaml", "name: offline": "offline.yaml"},
        swap={
            '"hub:PKU-Alignment/PKU-SafeRLHF#test", format: pku,': "pku_pairs.json, "
            "format: pku_pairs,"
        },
        unread={"error: hub": _SAID, "  done": _SAID},
        ways={
            "exante align": until("training_prompts"),
            "exante data check hub:": Way(parsed=_NETWORK),
        },
    ),
    "docs/design.md": Page(unread={"rules + prompts ──► reason": "a drawing"}),
    "docs/evaluation.md": Page(
        runs=("runs/demo",),
        files=("a.csv", "b.csv", "c.csv"),
        ways={
            "exante evaluate miniature runs/demo": Way(
                add=(*EVALUATE, *sets({"suite.limits": FEW, "suite.families": ["direct"]}))
            ),
            "exante evaluate MODEL": Way(planned=_LONG),
        },
    ),
    "docs/evaluation-ecosystem.md": Page(
        runs=("runs/demo",),
        ways={
            "exante export": Way(parsed=_EXTRA),
            "exante serve runs/demo --vllm": Way(),
            "exante serve": Way(planned=_HTTP),
        },
        saves={"# target.py": "target.py"},
        unread={
            "from exante.integrations.assistant import Assistant\nfrom pyrit": "PyRIT needs an "
            "environment of its own"
        },
    ),
    "docs/faithfulness.md": Page(
        runs=("runs/demo",), ways={"exante evaluate runs/demo --faithfulness": Way(planned=_LONG)}
    ),
    "docs/faq.md": Page(
        runs=("runs/monday", "runs/tuesday", "runs/check"),
        files=("train.jsonl", "c.csv", "strongreject_dataset.csv"),
        ways={"exante align --set": until("training_prompts")},
    ),
    "docs/methods.md": Page(
        unread=dict.fromkeys(
            (
                "L = weight *",
                "-log sigmoid(c_costlier",
                "D(m) = beta",
                "L_preference + eta",
                "L = 1/N",
                "−log P(r",
                "M₁ = (random₁",
                "r(x, y) = beta",
                "L = a (1 - p)",
            ),
            "a formula",
        )
    ),
    "docs/performance.md": Page(ways={"exante bench": Way(parsed=_TIMED)}),
    # The examples of help texts; other pages run most of these commands.
    "docs/reference/commands.md": Page(
        runs=("runs/demo", "runs/mine", "runs/monday", "runs/tuesday", "runs/check"),
        files=("policy.md", "train.jsonl", "prompts.jsonl", "mix.yaml", "behaviors.csv"),
        otherwise=Way(parsed="other pages run it, or a test of its own"),
        ways={
            command: Way()
            for command in (
                "exante card",
                "exante cp",
                "exante data check",
                "exante data mix",
                "exante diff",
                "exante doctor",
                "exante ls",
                "exante miniature sample",
                "exante recipes",
                "exante rules check",
                "exante rules new",
                "exante rules show",
                "exante suites",
            )
        }
        | {"exante suites check": Way(parsed=_NETWORK)},
        unread={"exante ": "usage, which typer writes"},
    ),
    "docs/reference/python.md": Page(runs=("runs/demo",)),
    "docs/results.md": Page(
        runs=("runs/demo", "runs/seed-0", "runs/seed-1", "runs/seed-2"),
        variables={"s": "0"},
        ways={"exante align --seed": Way(parsed=_LONG)},
    ),
    "docs/rules.md": Page(
        runs=("runs/mine",),
        files=(
            *("policy.md", "prompts.jsonl", "rules-v1.yaml"),
            *("garden.jsonl", "garden.yaml", "garden3.yaml", "garden4.yaml"),
        ),
        ways={
            "exante align --rules rules.yaml --data prompts.jsonl --reuse": until("traces"),
            "exante align --model ./my-model": Way(add=ALIGN, differs=_RANDOM),
            "exante rules diff garden.yaml garden3.yaml": Way(differs=_RANDOM),
        },
    ),
    "docs/lora.md": Page(
        files=("prompts.jsonl",),
        ways={
            "exante align --model ./my-model --data prompts.jsonl --lora 16": until(
                "taught", fresh=("runs/mine",), differs=_RANDOM
            ),
            "exante align --model ./my-model --data prompts.jsonl -o runs/one": until(
                "training_prompts"
            ),
            "exante align --model ./my-model --data prompts.jsonl -o runs/q": Way(
                parsed="bitsandbytes is an extra"
            ),
            "exante model merge": Way(fresh=("my-aligned-model",)),
        },
    ),
    "docs/models.md": Page(
        files=("prompts.jsonl",),
        links={"tiny-gemma": "gemma"},
        ways={
            "exante align --model Qwen/Qwen3-4B": until("training_prompts"),
        },
    ),
    "docs/reliability.md": Page(runs=("RUN",), ways={"exante bench chaos": Way(parsed=_TIMED)}),
    "docs/scaling.md": Page(
        saves={
            "# One machine with eight GPUs, all weights": "ddp.yaml",
            "# One machine with eight GPUs, weights, gradients": "fsdp2.yaml",
            "# One machine with eight GPUs, DeepSpeed": "zero3.yaml",
            "# Two processes on a CPU": "cpu.yaml",
        },
        unread={"error: fsdp2.yaml": _SAID},
        ways={"exante align": Way(parsed=_SEVERAL), "accelerate launch": Way(parsed=_SEVERAL)},
    ),
    "docs/servers.md": Page(
        runs=("runs/demo",),
        files=("garden.jsonl", "garden.yaml", "prompts.jsonl"),
        saves={"https://api.example.org/v1#big:": "servers.yaml"},
        ways={
            "exante --servers servers.yaml align --teacher": Way(parsed=_DOTS),
            "exante --servers servers.yaml align --model ./my-model": until(
                "traces", swap={_SERVER: "template"}, differs=_RANDOM
            ),
            "exante serve": Way(planned=_HTTP),
            "exante evaluate server:": Way(planned=_ASKED),
        },
        unread=dict.fromkeys(("error: ", "  done", "  at most"), _SAID),
    ),
    "docs/serving.md": Page(
        runs=("runs/demo", "runs/mine"),
        ways={
            "exante serve": Way(planned=_HTTP),
            "exante serve runs/mine --vllm": Way(),
            "exante push runs/mine --to me/my-model --private": Way(add=("--folder", "private")),
            "exante push runs/mine --to me/my-model": Way(code=2),
            "exante push runs/mine --to me/my-model --folder": Way(),
            "exante align ...": Way(parsed=_DOTS),
        },
        unread={
            "from openai import OpenAI": "tests/serving/test_docs.py runs it against a server",
            "error: ": _SAID,
        },
    ),
    "docs/tutorials/cluster.md": Page(
        files=("mix.yaml", "prompts.jsonl", "garden.jsonl"),
        ways={
            "exante align --model Qwen/Qwen3-8B": Way(parsed=_SEVERAL),
            "accelerate launch": Way(parsed=_SEVERAL),
            "exante align --model ./tiny --data garden.jsonl --accelerate": Way(
                add=ALIGN,
                swap={"--accelerate": "--seed", "cpu.yaml": "0", **_TINY},
                differs=_SEVERAL,
            ),
            "exante align --model ./tiny --data garden.jsonl --until": Way(add=ALIGN, swap=_TINY),
            "exante bench plan Qwen": Way(swap=HUB, differs="the model is a smaller one"),
            "exante diff": Way(differs=_SEVERAL),
        },
    ),
    "docs/tutorials/one-gpu.md": Page(
        files=(
            "data/adv_training_behaviors.csv",
            "data/advbench.csv",
            "data/xstest_prompts.csv",
            "data/harmless_val.json",
            "data/seed_tasks.jsonl",
            "harmbench_behaviors_text_val.csv",
            "xstest_prompts.csv",
        ),
        saves={"portions:": "mix.yaml"},
        ways={
            "exante doctor": Way(differs="it is another machine"),
            "exante model check": Way(differs="the tokenizer is a smaller one"),
            "exante align --model Qwen/Qwen3-4B": Way(
                add=ALIGN, swap={"server:...": "template", "...": "strings", **HUB}
            ),
            "exante align --model ./tiny": until("taught_judged", differs=_RANDOM),
            "exante evaluate": Way(planned=_LONG),
            "exante serve": Way(planned=_HTTP),
            "exante chat runs/first": Way(differs=_RANDOM),
            "exante model merge runs/first": Way(code=2),
            "exante push": Way(add=("--folder", "to-push")),
        },
        unread={"  done": _SAID},
    ),
    "docs/tutorials/own-rules.md": Page(
        files=("garden2.yaml",),
        saves={
            "# Assistant policy": "policy.md",
            '{"messages": [{"role": "user", "content": "Which two': "garden.jsonl",
        },
        ways={
            "exante align": until("traces", swap={_SERVER: "template"}, differs=_RANDOM),
            "exante rules diff": Way(differs=_RANDOM),
        },
    ),
    "docs/search-attacks.md": Page(
        runs=("runs/demo",), ways={"exante evaluate": Way(planned=_LONG)}
    ),
    "docs/suites.md": Page(
        files=("behaviors_val.csv", "mine.csv", "train.jsonl", "strongreject_dataset.csv"),
        ways={
            "exante evaluate ./my-model --suite xstest": Way(planned=_NETWORK),
            "exante evaluate ./my-model --suite mine.csv": Way(
                add=(*EVALUATE, "--attacks", "direct")
            ),
        },
    ),
}
