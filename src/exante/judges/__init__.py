"""How we decide what a model did: judges of answers, and their union with the trace.

A judge is named in `JUDGES` or as `package.module:Class`; it is loaded when first used. Some take a
file: `strings:phrases.txt`, `ensemble:judge.json`, `labels:people.jsonl`. Those that run a model,
`rubric:SPEAKER`, `guard:KIND@FOLDER` and `cost:FOLDER`, get it from whoever may load models
(`stages.judges`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from exante import plugins
from exante.errors import InputError, unknown_name
from exante.judges.base import Answered, AnswerJudgement, HarmJudge, Judge, PaidJudge, opinions

JUDGES: dict[str, str] = {
    "miniature": "exante.miniature.oracle:Oracle",
    "strings": "exante.judges.strings:StringJudge",
    "learned": "exante.judges.learned:LearnedJudge",
    "ensemble": "exante.judges.ensemble:EnsembleJudge",
    "labels": "exante.judges.labels:LabelJudge",
    "given": "exante.judges.given:GivenJudge",
    "rubric": "exante.judges.rubric:RubricJudge",
    "guard": "exante.judges.guards:GuardJudge",
    "cost": "exante.judges.costs:CostJudge",
}
"""Known judges; a user's own is named `package.module:Class`."""
_READERS: dict[str, str] = {
    "strings": "exante.judges.strings:read_phrases",
    "learned": "exante.judges.learned:load",
    "ensemble": "exante.judges.learned:load",
    "labels": "exante.judges.labels:read_labels",
}
"""What reads the file of a judge that takes one."""
_TRAINED = "exante judge train LABELLED.csv -o judge.json, then --judge {name}:judge.json"
_NEEDS = {
    "learned": ("a model", _TRAINED),
    "ensemble": ("a model", _TRAINED),
    "labels": ("a file", "--judge labels:FILE, one row per turn"),
    "rubric": ("a chat model", "--judge rubric:FOLDER, or rubric:http://HOST/v1#MODEL"),
    "guard": ("a guard model", "--judge guard:KIND@FOLDER"),
    "cost": ("a cost model", "--judge cost:FOLDER, of a cost step"),
}
"""What a bare name lacks, and the way out."""

__all__ = [
    "JUDGES",
    "AnswerJudgement",
    "Answered",
    "HarmJudge",
    "Judge",
    "JudgeName",
    "PaidJudge",
    "file_of",
    "load_judge",
    "model_of",
    "opinions",
]


def load_judge(name: str) -> Judge:
    """The judge of that name, with its file behind a colon where it takes one.

    Raises:
        InputError: there is no such judge, its file is missing or no file of its kind, or it runs a
            model, which is not loaded here.
    """
    known, colon, file = name.partition(":")
    if known in JUDGES and colon and not file:
        raise InputError(
            f"nothing stands behind the colon of judge {name}",
            fix=f"give a file or model there, or {known} alone",
        )
    if known in _READERS and file:
        reader = plugins.load(_READERS, known, "judge")
        with_file: Judge = plugins.load(JUDGES, known, "judge")(reader(Path(file)))
        return with_file
    if name in _NEEDS:
        what, fix = _NEEDS[name]
        raise InputError(f"judge {name} needs {what}", fix=fix.format(name=name))
    if model_of(name) is not None:
        raise InputError(
            f"judge {name} runs a model, which this step does not load",
            fix="use strings, learned or ensemble here",
        )
    judge = plugins.made(JUDGES, name, "judge")
    if not isinstance(judge, Judge):
        raise InputError(
            f"{name} is no judge",
            fix="give package.module:Class of one with a `name` and a method `judge`",
        )
    return judge


def known(name: str) -> str:
    """The name, if it is one of a judge as far as can be told without loading it.

    Raises:
        InputError: it is in no table and names no module.
    """
    if ":" not in name and name not in JUDGES:
        raise unknown_name("judge", name, JUDGES)
    return name


JudgeName = Annotated[str, AfterValidator(known)]
"""A setting that names a judge: a typo is found before a run begins."""


def file_of(name: str) -> Path | None:
    """The file that belongs to a judge's name, so that its content can enter a key."""
    known, _, file = name.partition(":")
    return Path(file) if known in _READERS and file else None


def model_of(name: str) -> tuple[str, str, str] | None:
    """The judge that runs a model, its kind (of guards) and the model, as a name gives them.

    Raises:
        InputError: a guard is named without its kind or folder.
    """
    known, _, rest = name.partition(":")
    if known in ("rubric", "cost") and rest:
        return known, "", rest
    if known == "guard" and rest:
        kind, _, folder = rest.partition("@")
        if not kind or not folder:
            raise InputError(
                f"judge {name} does not say which guard, and where", fix=_NEEDS["guard"][1]
            )
        return known, kind, folder
    return None
