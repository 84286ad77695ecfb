"""Judges by name, those that run a model included, and what identifies them.

The package `judges` is pure and loads no model; here a judge is handed the one its name asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exante.errors import InputError
from exante.judges import Judge, file_of, load_judge, model_of
from exante.judges.costs import CostJudge
from exante.judges.guards import GuardJudge, known_guard
from exante.judges.rubric import RubricJudge
from exante.models.cost import HEAD, CostModel, cost_fingerprint, load_cost_model
from exante.models.folders import resolve, weights_fingerprint
from exante.models.guard import load_guard
from exante.models.speaker import load_speaker, speaker_fingerprint
from exante.records import Example
from exante.rows import sha256_of
from exante.speakers import Memory
from exante.stages import base

_GRADING_TOKENS = 512
"""Most tokens of a grade: a few sentences and a line."""
_ANSWER_ALONE = ("miniature", "strings", "learned", "ensemble", "labels", "given")
"""Judges that read the answer and what is known of the prompt, but not its words."""


def open_judge(name: str, memory: Memory | None = None) -> Judge:
    """The judge of that name: `rubric:SPEAKER`, `guard:KIND@FOLDER`, `cost:FOLDER`, or of `judges`.

    `memory` keeps what a judge on a server says.

    Raises:
        InputError: there is no such judge, or its file or model is missing or not of its kind.
    """
    found = model_of(name)
    if found is None:
        return load_judge(name)
    which, kind, model = found
    if which == "rubric":
        return RubricJudge(load_speaker(model, max_new_tokens=_GRADING_TOKENS, memory=memory))
    if which == "cost":
        return CostJudge(open_cost_model(Path(model)))
    # Known before gigabytes are read.
    return GuardJudge(known_guard(kind), load_guard(model))


def open_cost_model(folder: Path) -> CostModel:
    """The cost model that a cost step left in its folder.

    Raises:
        InputError: the folder holds none.
    """
    return load_cost_model(base.model_of(folder), folder / HEAD)


def reads_request(name: str) -> bool:
    """Does the judge read what was asked? Assumed of judges that are not ours."""
    return name.partition(":")[0] not in _ANSWER_ALONE


def plain_request(asked: Example, examples: Mapping[str, Example], judge: str) -> Example:
    """The prompt without its disguise, which no judge sees.

    Raises:
        InputError: it is not among the examples, and the judge reads it.
    """
    if asked.goal_id is None:
        return asked
    if asked.goal_id not in examples and reads_request(judge):
        raise InputError(
            f"its plain request {asked.goal_id!r}, which judge {judge} reads, is not there",
            where=asked.id,
            fix="keep plain prompts beside attacked ones (plain: true in the attack step)",
        )
    return examples.get(asked.goal_id, asked)


def judge_identity(name: str) -> dict[str, str]:
    """The content behind a judge's name: the hash of its file or of its model's weights.

    Raises:
        InputError: the file or model cannot be read.
    """
    found, file = model_of(name), file_of(name)
    if found is not None:
        which, _, model = found
        if which == "rubric":
            return {"judge": speaker_fingerprint(model)}
        if which == "cost":
            return {"judge": cost_fingerprint(base.model_of(Path(model)), Path(model) / HEAD)}
        return {"judge": weights_fingerprint(resolve(model))}
    return {} if file is None else {"judge": sha256_of(file)}
