"""Judges by name, those that run a model included, and what identifies them.

The package `judges` is pure and loads no model; here a judge is handed the one its name asks for.
"""

from __future__ import annotations

from exante.judges import Judge, file_of, load_judge, model_of
from exante.judges.guards import GuardJudge, known_guard
from exante.judges.rubric import RubricJudge
from exante.models.guard import load_guard
from exante.models.load import resolve, weights_fingerprint
from exante.models.speaker import load_speaker, speaker_fingerprint
from exante.rows import sha256_of

_GRADING_TOKENS = 512
"""Most tokens of a grade: a few sentences and a line."""
_ANSWER_ALONE = ("miniature", "strings", "learned", "ensemble", "labels", "given")
"""Judges that read the answer and what is known of the prompt, but not its words."""


def open_judge(name: str) -> Judge:
    """The judge of that name: `rubric:SPEAKER`, `guard:KIND@FOLDER`, or one of `judges`.

    Raises:
        InputError: there is no such judge, or its file or model is missing or not of its kind.
    """
    found = model_of(name)
    if found is None:
        return load_judge(name)
    which, kind, model = found
    if which == "rubric":
        return RubricJudge(load_speaker(model, max_new_tokens=_GRADING_TOKENS))
    # Known before gigabytes are read.
    return GuardJudge(known_guard(kind), load_guard(model))


def reads_request(name: str) -> bool:
    """Does the judge read what was asked? Assumed of judges that are not ours."""
    return name.partition(":")[0] not in _ANSWER_ALONE


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
        return {"judge": weights_fingerprint(resolve(model))}
    return {} if file is None else {"judge": sha256_of(file)}
