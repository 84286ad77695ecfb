"""Rule sets on the command line: look at them, check them, draft them, compare them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exante.cli import completion
from exante.cli.options import AsJson
from exante.cli.terminal import echo
from exante.durable import write_text
from exante.errors import InputError

if TYPE_CHECKING:
    from exante.amendments import Amendment
    from exante.drafts import Draft

rules_app = typer.Typer(
    no_args_is_help=True, help="Look at rule sets, draft and check your own, compare two."
)
RulesName = Annotated[
    str, typer.Argument(help="general, miniature, or a YAML file.", autocompletion=completion.rules)
]
_SHOWN = 5
_EMPTY = (
    "nothing in it says what is prohibited or allowed",
    "say so in lists or with must not and may, or name a --teacher",
)
_WEAK = "name a stronger --teacher, or leave it out: then lists, must not and may are read"


@rules_app.command("show")
def show(rules: RulesName = "general") -> None:
    """Print a rule set as a model or a person reads it.

    Example: exante rules show general
    """
    from exante import rules as rule_sets

    ruleset = rule_sets.load(rules)
    echo(rule_sets.render(ruleset))
    echo(f"\n{ruleset.name}, version {ruleset.version}, hash {ruleset.hash[:12]}")


@rules_app.command("check")
def check(rules: RulesName) -> None:
    """Check a rule set file; say file, line and field of what is wrong.

    Example: exante rules check rules.yaml
    """
    from exante import rules as rule_sets

    ruleset = rule_sets.load(rules)
    clauses = len(ruleset.clause_ids(None))
    echo(f"ok: {len(ruleset.categories)} categories, {clauses} clauses, {ruleset.hash[:12]}")


@rules_app.command("new")
def new(
    policy: Annotated[Path, typer.Option("--from", help="A policy as Markdown or plain text.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The draft; must not exist.")],
    teacher: Annotated[
        str | None,
        typer.Option(help="server:http://HOST/v1#MODEL or local:FOLDER; None reads mechanically."),
    ] = None,
) -> None:
    """Draft a rule set from a policy document, for you to edit.

    Example: exante rules new --from policy.md -o rules.yaml
    """
    from exante import documents, drafts
    from exante import rules as rule_sets

    if output.exists():
        raise InputError("exists already", where=str(output), fix="choose another name")
    text = documents.text_of(policy, fix="give a text file (UTF-8)")
    draft, how = _drafted(text, teacher)
    if not draft.topics:
        problem, fix = _EMPTY if teacher is None else (f"{teacher} made no clause of it", _WEAK)
        raise InputError(problem, where=str(policy), fix=fix)
    content = drafts.written(draft, name=output.stem, source=policy.name, how=how)
    ruleset = rule_sets.parse(content, where=str(output))
    write_text(output, content)
    doubts, clauses = content.count("# DOUBTFUL"), len(ruleset.clause_ids())
    echo(
        f"{output}: {len(ruleset.categories)} categories, {clauses} clauses, {doubts} marked "
        f"DOUBTFUL, {len(draft.left_out)} sentences left out. Read and edit it, then: "
        f"exante rules check {output}"
    )


@rules_app.command("diff")
def diff(
    old: RulesName,
    new: RulesName,
    traces: Annotated[
        Path | None, typer.Option(help="A run whose traces are looked through for what changed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what changed from one rule set to another, and which traces cite it.

    Example: exante rules diff rules-v1.yaml rules.yaml --traces runs/mine
    """
    from exante import rules as rule_sets
    from exante.amendments import amendments
    from exante.workflows.citing import citing_traces

    before, after = rule_sets.load(old), rule_sets.load(new)
    found = amendments(before, after)
    citing = citing_traces(found, traces) if traces else None
    if as_json:
        document = {"changes": [one.model_dump() for one in found], "cited_by": citing}
        echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    if before.name != after.name:
        echo(f"the name is {after.name}, not {before.name}: no teacher's turn can be reused")
    for one in found:
        echo("\n".join(_lines(one)))
    if not found:
        echo("no clause differs")
    for clause, prompts in (citing or {}).items():
        shown = ", ".join(prompts[:_SHOWN]) + (", ..." if len(prompts) > _SHOWN else "")
        echo(f"{clause} is cited in the traces of {len(prompts)} prompts: {shown}")
    if citing is not None and not citing:
        echo("no trace cites a clause that changed, moved or is gone")


def _drafted(text: str, teacher: str | None) -> tuple[Draft, str]:
    """The draft and who made it."""
    from exante import drafts

    if teacher is None:
        return drafts.mechanical(text), "by headings, lists and words like must not, read by no one"
    from exante.stages.teachers import open_speaker
    from exante.teachers.policies import draft_by

    speaker = open_speaker(teacher)
    return draft_by(speaker, text), f"by {speaker.name}"


def _lines(one: Amendment) -> list[str]:
    if one.change == "added":
        return [f"added    {one.id}: {one.after}"]
    if one.change == "removed":
        return [f"removed  {one.id}: {one.before}"]
    if one.change == "moved":
        return [f"moved    {one.was} to {one.id}: {one.after}"]
    return [f"changed  {one.id}", f"    was  {one.before}", f"    now  {one.after}"]
