"""`exante data`: preference data and prompts from other tools, and what is wrong with them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exante.cli import completion
from exante.cli.options import AsJson
from exante.cli.terminal import echo
from exante.errors import InputError, unknown_name

if TYPE_CHECKING:
    from exante.formats.lint import Finding
    from exante.stages.dataset import DataSet

data_app = typer.Typer(no_args_is_help=True, help="Bring your own data in, and check it.")

_Files = Annotated[
    list[str],
    typer.Argument(
        help="JSONL, JSON, CSV, TSV, Parquet (also with .gz or .xz behind), or hub:OWNER/NAME."
    ),
]
_Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="None: by the columns. See `exante ls formats`.",
        autocompletion=completion.formats,
    ),
]
_Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=COLUMN", help="Where a field stands; repeatable."),
]
_Prefers = Annotated[str, typer.Option(help="What `chosen` means: better or safer.")]
_Kind = Annotated[
    str | None, typer.Option("--kind", help="Kind of prompts that do not say theirs.")
]
_RejectedFile = Annotated[
    Path | None, typer.Option("--rejected", help="Keep rows that do not fit in this JSONL file.")
]


@data_app.command()
def convert(
    files: _Files,
    output: Annotated[Path, typer.Option("--output", "-o", help="JSONL file to write.")],
    to: Annotated[str, typer.Option(help="examples, trl or pku.")] = "examples",
    form: _Format = None,
    column: _Columns = None,
    prefers: _Prefers = "better",
    kind: _Kind = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|NAME=PATH|PATH",
            help="Leave out near-duplicates of this suite's prompts; repeatable.",
        ),
    ] = None,
    rejected: _RejectedFile = None,
    as_json: AsJson = False,
) -> None:
    """Turn preference data, answers or prompts of another format into one JSON Lines file.

    Example: exante data convert train.jsonl.xz -o pairs.jsonl
    Example: exante data convert STAR-1.json --without harmbench=behaviors.csv -o star1.jsonl
    Example: exante data convert harmless.jsonl.gz --prefers safer --to trl -o trl.jsonl
    """
    from exante.workflows.converting import converted

    target = _one_of(to, ("examples", "trl", "pku"), "target", "--to")
    preference = _one_of(prefers, ("better", "safer"), "preference", "--prefers")
    found = _read(files, form, column, preference, kind)
    result = converted(found, output, target, preference, without=without or [])
    _keep_rejected(found, rejected)
    if as_json:
        echo(json.dumps({"files": [_account(one) for one in found], **result}))
        return
    for one in found:
        _tell(one, rejected)
    for reason, count in result["left_out"].items():
        echo(f"left out: {count} ({reason})")
    echo(f"{output}: {result['rows']} rows, {result['type']}")


@data_app.command()
def check(
    files: _Files,
    form: _Format = None,
    column: _Columns = None,
    prefers: _Prefers = "better",
    kind: _Kind = None,
    similarity: Annotated[
        float, typer.Option(help="Jaccard similarity of near-duplicate prompts.", min=0.01, max=1)
    ] = 0.8,
    longest: Annotated[
        int, typer.Option(help="Most characters of prompt and response together.", min=1)
    ] = 16_000,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if anything was found.")
    ] = False,
    rejected: _RejectedFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what files hold and what is wrong with them: counts, and the first lines of each kind.

    Example: exante data check train.jsonl --strict
    """
    from exante.formats.lint import LintSettings, lint

    preference = _one_of(prefers, ("better", "safer"), "preference", "--prefers")
    found = _read(files, form, column, preference, kind)
    placed = [row for one in found for row in one.placed()]
    findings = lint(placed, LintSettings(prompts=similarity, longest=longest))
    _keep_rejected(found, rejected)
    if as_json:
        accounts = [_account(one) for one in found]
        listed = [finding.model_dump(mode="json") for finding in findings]
        echo(json.dumps({"files": accounts, "findings": listed}))
    else:
        for one in found:
            _tell(one, rejected)
        _tell_findings(findings, len(placed))
    if strict and (findings or any(one.rejected for one in found)):
        raise typer.Exit(1)


@data_app.command()
def mix(
    file: Annotated[str, typer.Argument(help="A YAML file of portions; see docs/data.md.")],
    as_json: AsJson = False,
) -> None:
    """Say what `--data FILE` would train on and test with: rows, kinds and licences by portion.

    Example: exante data mix mix.yaml && exante align --model ./my-model --data mix.yaml
    """
    from exante.stages.mix import mixed, portions_of

    accounts = mixed(portions_of(file, {})).accounts
    if as_json:
        echo(json.dumps([one.model_dump(mode="json") for one in accounts]))
        return
    for one in accounts:
        kinds = ", ".join(f"{count} {kind}" for kind, count in one.kinds.items())
        echo(f"{one.data}: {kinds} ({one.licence or 'licence unknown'})")
        for reason, count in one.left_out.items():
            echo(f"  left out: {count} ({reason})")


def _read(
    files: list[str], form: str | None, columns: list[str] | None, prefers: Any, kind: str | None
) -> list[DataSet]:
    from exante.cli.suites import known_kind
    from exante.formats import Reading
    from exante.stages.dataset import read_data
    from exante.stages.hub import located

    how = Reading(prefers=prefers, kind=known_kind(kind))
    named = _mapping(columns)
    return [read_data(located(file), form=form, columns=named, how=how) for file in files]


def _mapping(pairs: list[str] | None) -> dict[str, str]:
    """`field=column` texts as a mapping.

    Raises:
        InputError: one is of another form.
    """
    found: dict[str, str] = {}
    for pair in pairs or []:
        name, sign, column = pair.partition("=")
        if not sign or not name or not column:
            raise InputError(
                "not of the form FIELD=COLUMN", where=f"--column {pair}", fix="--column prompt=ask"
            )
        found[name] = column
    return found


def _one_of(value: str, known: tuple[str, ...], kind: str, option: str) -> Any:
    if value not in known:
        raise unknown_name(kind, value, known, where=option)
    return value


def _keep_rejected(found: list[DataSet], path: Path | None) -> None:
    from exante.records import write_jsonl

    if path is not None:
        write_jsonl(path, [row for one in found for row in one.rejected])


def _account(one: DataSet) -> dict[str, Any]:
    examples = one.examples
    responses = [response for example in examples for response in example.responses]
    return {
        "file": str(one.path),
        "format": one.form.name,
        "rows": one.rows,
        "used": len(examples),
        "rejected": len(one.rejected),
        "first_rejected": [f"{r.where}: {r.problem}" for r in one.rejected[:5]],
        "prompts": len({example.split_group for example in examples}),
        "kinds": dict(Counter(example.kind for example in examples)),
        "responses": len(responses),
        "unsafe": sum(r.is_unsafe is True for r in responses),
        "safe": sum(r.is_unsafe is False for r in responses),
        "with_reward": sum(r.reward is not None for r in responses),
        "with_cost": sum(r.cost is not None for r in responses),
        "with_better": sum(example.better is not None for example in examples),
        "with_safer": sum(example.safer is not None for example in examples),
        "unread_columns": list(one.unread),
        "misfits": dict(one.misfits),
    }


def _tell(one: DataSet, kept_in: Path | None) -> None:
    told = _account(one)
    how = "as you say" if one.is_named else "by its columns"
    echo(f"{told['file']}: format {one.form.name} ({how}): {one.form.about}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in told["kinds"].items())
    echo(f"  {told['used']} of {told['rows']} rows, {told['prompts']} prompts: {kinds}")
    if told["responses"]:
        parts = ("unsafe", "safe", "with_reward", "with_cost")
        labels = ", ".join(f"{told[part]} {part.replace('_', ' ')}" for part in parts)
        echo(f"  {told['responses']} responses: {labels}")
        better, safer = told["with_better"], told["with_safer"]
        echo(f"  {better} rows say which is better, {safer} which is safer")
    if one.unread:
        echo(f"  not read: {', '.join(one.unread)}")
    for misfit, count in one.misfits.items():
        echo(f"  {count} rows: {misfit}")
    if one.rejected:
        place = f"all in {kept_in}" if kept_in else "--rejected FILE keeps them"
        echo(f"  {len(one.rejected)} rows do not fit ({place}):")
        for line in told["first_rejected"]:
            echo(f"    {line}")


def _tell_findings(findings: list[Finding], rows: int) -> None:
    echo(f"found in {rows} rows: {'nothing' if not findings else ''}".rstrip())
    for finding in findings:
        echo(f"  {finding.rows:6} {finding.name}: {finding.about}")
        for place in finding.first:
            echo(f"         {place}")
